// Frames come as fast as the server sends them, and a slow device draws them more slowly. What it cannot draw is merged
// with the next frame, so that the page always has time for a click on Stop. Gradio's script for Blocks asks here, at the
// places that ui/gradio_/drawing.py names. Pure but for `drawn`.

/** What Gradio's client tells of an event. @typedef {{ type: string, stage?: string, data?: unknown[] }} News */
/** A change of a component, without a value if that stays. @typedef {{ __type__: "update", value?: unknown }} Change */

const LONGEST_MS = 1000; // that a frame waits for the one before: a page that is not seen is not drawn at all

/** @param {unknown} value @returns {value is Change} */
const isChange = (value) =>
  typeof value === "object" && value !== null && /** @type {Change} */ (value).__type__ === "update";

/** What a component is told by two values, one after the other. @param {unknown} first @param {unknown} second */
function merged(first, second) {
  if (!isChange(second)) return second;
  return isChange(first) ? { ...first, ...second } : { value: first, ...second };
}

/** @type {WeakMap<object, Map<string, string>>} Gradio's list of what loads → component → the status it was told */
const statuses = new WeakMap();

/** Whether a component is to be told its status, given the list of all: only when it is another one than before.
 * @param {object} list @returns {(entry: [string, { status: string }]) => boolean} */
export function hasOtherStatus(list) {
  const told = statuses.get(list) ?? new Map();
  statuses.set(list, told);
  return ([component, { status }]) => {
    const isOther = told.get(component) !== status;
    told.set(component, status);
    return isOther;
  };
}

/** Whether it says only that the answer goes on. @param {News} news */
const goesOn = ({ type, stage }) => type === "status" && stage === "generating";

/** Add news to those that wait; of frames that wait there is one. @param {News[]} waiting @param {News} news */
export function add(waiting, news) {
  if (goesOn(news) && waiting.some(goesOn)) return;
  const at = waiting.findLastIndex((one) => !goesOn(one));
  const before = waiting[at];
  if (news.type !== "data" || before?.type !== "data" || before.data?.length !== news.data?.length) waiting.push(news);
  else waiting[at] = { ...news, data: news.data?.map((value, number) => merged(before.data?.[number], value)) };
}

/** Wait until the browser has drawn what changed, and then as long as that took. */
async function drawn() {
  const began = performance.now();
  await new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, LONGEST_MS);
  });
  const took = Math.min(performance.now() - began, LONGEST_MS);
  await new Promise((resolve) => setTimeout(resolve, took));
}

/** An event under way, which Gradio ends by `cancel` when its visitor wants that.
 * @typedef {AsyncIterable<News> & { cancel?: () => Promise<void> }} Source */

/** The news of an event, with as many frames as the browser can draw in half of its time.
 * @param {Source} source @param {() => Promise<unknown>} wait until a frame is drawn @returns {AsyncGenerator<News>} */
export async function* paced(source, wait = drawn) {
  const iterator = source[Symbol.asyncIterator]();
  /** @type {News[]} */
  const waiting = [];
  let wake = () => {};
  let end = () => {};
  const ending = new Promise((resolve) => (end = () => resolve(undefined))); // which waits for no drawing
  let isCancelled = false;
  const { cancel } = source;
  if (cancel)
    source.cancel = () => {
      isCancelled = true; // no frame writes over what the page says of that
      waiting.splice(0, waiting.length, ...waiting.filter((news) => !news.data));
      return cancel.call(source);
    };
  const read = async () => {
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      const { stage, data } = next.value;
      if (!isCancelled || !data) add(waiting, next.value);
      if (stage === "complete" || stage === "error") end();
      wake();
    }
  };
  let isOver = false;
  const reading = read().finally(() => {
    isOver = true;
    wake();
  });
  try {
    while (true) {
      const news = waiting.shift();
      if (news) {
        yield news;
        if (news.type === "data") await Promise.race([wait(), ending]);
      } else if (isOver) break;
      else await new Promise((resolve) => (wake = () => resolve(undefined)));
    }
    await reading; // raises what the source has raised
  } finally {
    reading.catch(() => {});
    await iterator.return?.();
  }
}
