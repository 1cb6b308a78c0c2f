// A conversation in the fragment of a link, which browsers send to no server. Pure.

/** @import { ConversationRecord } from "./conversation_records.js" */
import { parseFile, toJsonFile } from "./conversation_records.js";

const NAME = "#conversation=";
const MOST_CHARACTERS = 30_000; // of a link; many programs cut longer ones off
const MOST_BYTES = 2 ** 20; // that a link may unpack to

/** @param {Uint8Array<ArrayBuffer>} bytes @param {CompressionStream | DecompressionStream} stream */
function through(bytes, stream) {
  let length = 0;
  /** @type {TransformStream<Uint8Array, Uint8Array>} */
  const limit = new TransformStream({
    transform(chunk, controller) {
      length += chunk.length;
      if (length > MOST_BYTES) controller.error(new RangeError("It is too long"));
      else controller.enqueue(chunk);
    },
  });
  return new Response(new Blob([bytes]).stream().pipeThrough(stream).pipeThrough(limit));
}

/** The link to a conversation, without its pictures and other versions; null if it is too long.
 * @param {ConversationRecord} record @param {string} page its address */
export async function linkTo(record, page) {
  const bytes = new TextEncoder().encode(toJsonFile([{ ...record, forks: [] }], {}));
  const packed = new Uint8Array(await through(bytes, new CompressionStream("deflate-raw")).arrayBuffer());
  if (packed.length > MOST_CHARACTERS) return null;
  const text = btoa(String.fromCharCode(...packed))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
  const { origin, pathname } = new URL(page);
  const link = `${origin}${pathname}${NAME}${text}`;
  return link.length > MOST_CHARACTERS ? null : link;
}

/** The conversation of a link, checked as a file is; null without one. Throws an error if it cannot be read.
 * @param {string} fragment */
export async function linkedRecord(fragment) {
  if (!fragment.startsWith(NAME)) return null;
  const text = fragment.slice(NAME.length).replaceAll("-", "+").replaceAll("_", "/");
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return parseFile(await through(packed, new DecompressionStream("deflate-raw")).text())[0];
}
