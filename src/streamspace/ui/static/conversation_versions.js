// Versions of a turn: what was there before Retry, an edit or another column of Compare, with all that came after it. Pure.
//
// A conversation is one path of messages, and beside it the forks on that path. A fork stands at a question and has
// branches: each is the rest of a path from there on, with forks of its own; the one that is on the path is null.

/** @typedef {import("./conversation_records.js").Content} Content
 * @typedef {import("./conversation_records.js").Message} Message
 * @typedef {import("./conversation_records.js").Note} Note
 *
 * @typedef {{ messages: Message[], note: Note, forks: Fork[] }} Branch
 * @typedef {{ at: number, current: number, branches: (Branch | null)[] }} Fork `at` is the index of its question */

/** @type {Omit<Fork, "at">} */
const FIRST = { current: 0, branches: [null] };

/** @param {Message[]} messages */
const texts = (messages) =>
  JSON.stringify(messages.map(({ role, content, metadata }) => [role, content, metadata?.pictures]));

/** The forks of `path`, whose last turn is new, after what was there before it.
 * @param {Branch} before @param {Message[]} path @returns {Fork[]} */
export function forked(before, path) {
  const at = path.findLastIndex(({ role }) => role === "user");
  const messages = before.messages.slice(Math.max(at, 0));
  if (at < 0 || !messages.length || texts(messages) === texts(path.slice(at))) return within(before.forks, path);
  const { current, branches } = before.forks.find((fork) => fork.at === at) ?? FIRST;
  const left = { messages, note: before.note, forks: before.forks.filter((fork) => fork.at > at) };
  const others = before.forks.filter((fork) => fork.at < at);
  return [...others, { at, current: branches.length, branches: [...branches.with(current, left), null] }];
}

/** The forks that still stand on a path. @param {Fork[]} forks @param {Message[]} path */
export const within = (forks, path) => forks.filter(({ at }) => at < path.length);

/** The content with another version of the turn at this index; itself if there is none.
 * @template {Content} T @param {T} content @param {number} at @param {number} number @returns {T} */
export function switched(content, at, number) {
  const fork = content.forks.find((each) => each.at === at);
  const branch = fork?.branches[number];
  if (!fork || !branch) return content;
  const left = { messages: content.messages.slice(at), note: content.note, forks: [] };
  const all = { ...left, forks: content.forks.filter((each) => each.at > at) };
  const here = { at, current: number, branches: fork.branches.with(fork.current, all).with(number, null) };
  const forks = [...content.forks.filter((each) => each.at < at), here, ...branch.forks];
  return { ...content, messages: [...content.messages.slice(0, at), ...branch.messages], note: branch.note, forks };
}

/** All messages of all versions that are not on the path. @param {Fork[]} forks @returns {Message[]} */
export const otherMessages = (forks) =>
  forks.flatMap(({ branches }) =>
    branches.flatMap((branch) => (branch ? [...branch.messages, ...otherMessages(branch.forks)] : [])),
  );

/** The forks with all their messages changed. @template M, N
 * @param {any[]} forks @param {(messages: M[]) => N[]} change @returns {any[]} */
export const mapped = (forks, change) =>
  forks.map(({ at, current, branches }) => ({
    at,
    current,
    branches: branches.map((/** @type {any} */ branch) =>
      branch ? { messages: change(branch.messages), note: branch.note, forks: mapped(branch.forks, change) } : null,
    ),
  }));

/** Whether these are forks of a path of this length, whose messages pass the check.
 * @param {any} forks @param {number} length @param {(messages: any) => boolean} areMessages @returns {boolean} */
export const areForks = (forks, length, areMessages) =>
  Array.isArray(forks) &&
  forks.every(
    (fork) =>
      Number.isInteger(fork?.at) &&
      fork.at >= 0 &&
      fork.at < length &&
      Array.isArray(fork.branches) &&
      fork.branches[fork.current] === null &&
      fork.branches.every(
        (/** @type {any} */ branch, /** @type {number} */ number) =>
          (branch === null && number === fork.current) || isBranch(branch, fork.at, areMessages),
      ),
  );

/** @param {any} branch @param {number} at @param {(messages: any) => boolean} areMessages */
const isBranch = (branch, at, areMessages) =>
  Array.isArray(branch?.messages) &&
  branch.messages.length > 0 &&
  areMessages(branch.messages) &&
  typeof branch.note?.text === "string" &&
  areForks(branch.forks, at + branch.messages.length, areMessages);
