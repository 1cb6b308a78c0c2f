// Server-sent events, read only while somebody can see what they show, and by one of all the pages that this browser
// shows of the app: it allows six connections per host, and a seventh page would never load.

const RETRY_MS = 3000;

/** What the page that reads tells the others: an event, or that the connection is lost. Who has just come asks for the
 * last one. @typedef {{ data?: string, isLost?: boolean, asks?: boolean }} Note */

/** Read the events of `path` while `isWanted()` and the page is visible. Call the result when `isWanted()` has changed.
 * @template T @param {string} path @param {(event: T) => void} show
 * @param {{ isWanted?: () => boolean, onError?: () => void }} options */
export function readFeed(path, show, { isWanted = () => true, onError = () => {} }) {
  const turns = turnsOf(new URL(path, location.href).href);
  /** @type {EventSource | null} */
  let source = null;
  /** @type {Note | null} */
  let last = null;
  const isSeen = () => isWanted() && !document.hidden;
  /** @param {Note} note */
  const take = (note) => {
    if (note.asks) return void (source && last && turns.tell(last));
    if (!isSeen()) return;
    if (note.isLost) onError();
    else if (note.data) show(JSON.parse(note.data));
  };
  /** @param {Note} note */
  const spread = (note) => {
    last = note;
    take(note);
    turns.tell(note);
  };
  const open = () => {
    const opened = new EventSource(path);
    opened.onmessage = ({ data }) => spread({ data });
    opened.onerror = () => {
      spread({ isLost: true });
      if (opened.readyState === EventSource.CLOSED) setTimeout(update, RETRY_MS);
    };
    return opened;
  };
  const close = () => {
    source?.close();
    source = null;
  };
  const begin = () => {
    source ??= open();
  };
  const update = () => {
    if (!isSeen()) {
      close();
      return turns.end();
    }
    if (source?.readyState === EventSource.CLOSED) {
      close();
      begin();
    }
    turns.take(begin);
  };
  turns.onNote(take);
  document.addEventListener("visibilitychange", update);
  update();
  return update;
}

/** Who of the pages reads: the first that wants to, until it ends. Where the browser has no locks, as over plain http
 * from another machine, each page reads for itself. @param {string} name */
function turnsOf(name) {
  if (!navigator.locks) {
    return { take: (/** @type {() => void} */ begin) => begin(), end() {}, tell() {}, onNote() {} };
  }
  const channel = new BroadcastChannel(name);
  /** @type {AbortController | null} while this page waits for its turn, or has it */
  let waiting = null;
  let end = () => {};
  return {
    /** @param {() => void} begin when it is this page's turn */
    take(begin) {
      if (waiting) return;
      const own = new AbortController();
      waiting = own;
      const turn = () =>
        new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
          if (waiting !== own) return resolve(); // ended in this very moment
          end = resolve;
          begin();
        });
      navigator.locks.request(name, { signal: own.signal }, turn).catch(() => {}); // it has ended before its turn
      channel.postMessage({ asks: true });
    },
    end() {
      waiting?.abort();
      waiting = null;
      end();
    },
    /** @param {Note} note */
    tell: (note) => channel.postMessage(note),
    /** @param {(note: Note) => void} take */
    onNote(take) {
      channel.onmessage = ({ data }) => take(data);
    },
  };
}
