// Server-sent events, read only while somebody can see what they show: a browser allows six connections per host.

const RETRY_MS = 3000;

/** Read the events of `path` while `isWanted()` and the page is visible. Call the result when `isWanted()` has changed.
 * @template T @param {string} path @param {(event: T) => void} show
 * @param {{ isWanted?: () => boolean, onError?: () => void }} options */
export function readFeed(path, show, { isWanted = () => true, onError = () => {} }) {
  /** @type {EventSource | null} */
  let source = null;
  const open = () => {
    const opened = new EventSource(path);
    opened.onmessage = ({ data }) => show(JSON.parse(data));
    opened.onerror = () => {
      onError();
      if (opened.readyState === EventSource.CLOSED) setTimeout(update, RETRY_MS);
    };
    return opened;
  };
  const update = () => {
    const isSeen = isWanted() && !document.hidden;
    if (!isSeen || source?.readyState === EventSource.CLOSED) {
      source?.close();
      source = null;
    }
    if (isSeen) source ??= open();
  };
  document.addEventListener("visibilitychange", update);
  update();
  return update;
}
