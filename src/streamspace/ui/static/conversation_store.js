// Where this browser keeps conversations, as records of one IndexedDB, and beside them their pictures.

/** @import { ConversationRecord } from "./conversation_records.js" */
import { isNewer, isRecord, pictureIds, upgraded } from "./conversation_records.js";
import { ifStored } from "./dom.js";
import { urlsOf } from "./pictures.js";

export const DATABASE = "streamspace-conversations";
const STORES = ["records", "aside", "pictures"];
const CURRENT = "streamspace-conversation"; // in the tab's own sessionStorage: which conversation it shows
const UNSAVED = "streamspace-unsaved"; // beside it: what is being saved, which a reload may come before

/** `all` and `aside` give whatever a damaged store has. `update` replaces a record by the result of `change` (null
 * deletes it) and gives the record before; with a record its pictures are kept, as long as any record has them.
 * `pixels` gives the data URLs of pictures by their ids. `setAside` moves damaged records to where only an export reads
 * them.
 * @typedef {ConversationRecord | undefined} Stored
 * @typedef {{
 *   all: () => Promise<any[]>,
 *   aside: () => Promise<any[]>,
 *   get: (id: string) => Promise<Stored>,
 *   pixels: (ids: string[]) => Promise<Record<string, string>>,
 *   update: (id: string, change: (stored: Stored) => ConversationRecord | null) => Promise<Stored>,
 *   setAside: (damaged: any[]) => Promise<void>,
 * }} Store */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const resultOf = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Keep the pictures of a record, and delete those that no record has any more. All in the transaction of the record,
 * so that no other tab sees a picture without its record. @param {IDBTransaction} transaction
 * @param {Stored} before @param {ConversationRecord | null} after */
function keepPictures(transaction, before, after) {
  const pictures = transaction.objectStore("pictures");
  const wanted = new Set(after ? pictureIds(after) : []);
  const dropped = new Set((before ? pictureIds(before) : []).filter((id) => !wanted.has(id)));
  for (const [id, url] of Object.entries(urlsOf(wanted))) {
    const looking = pictures.getKey(id);
    looking.onsuccess = () => {
      if (looking.result === undefined) pictures.put(url, id);
    };
  }
  if (!dropped.size) return;
  const others = transaction.objectStore("records").getAll();
  others.onsuccess = () => {
    if (others.result.some(isNewer)) return; // this page cannot read what they have
    for (const id of others.result.map(upgraded).filter(isRecord).flatMap(pictureIds)) dropped.delete(id);
    for (const id of dropped) pictures.delete(id);
  };
}

/** @returns {Promise<Store>} */
export async function openStore() {
  const opening = indexedDB.open(DATABASE, 2);
  opening.onupgradeneeded = ({ oldVersion }) => {
    if (oldVersion < 1) {
      opening.result.createObjectStore("records", { keyPath: "id" });
      opening.result.createObjectStore("aside", { autoIncrement: true });
    }
    opening.result.createObjectStore("pictures");
  };
  const database = await resultOf(opening);
  if (!STORES.every((name) => database.objectStoreNames.contains(name))) {
    database.close();
    throw new DOMException("It is a database of something else.", "VersionError");
  }
  database.onversionchange = () => database.close();
  /** @param {string} name */
  const read = (name) => database.transaction(name).objectStore(name);
  /** @param {(transaction: IDBTransaction) => void} work @returns {Promise<void>} */
  const write = (work) =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(STORES, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
      work(transaction);
    });
  return {
    all: async () => (await resultOf(read("records").getAll())).map(upgraded),
    aside: () => resultOf(read("aside").getAll()),
    get: async (id) => upgraded(await resultOf(read("records").get(id))),
    pixels: async (ids) => {
      const pictures = read("pictures");
      const urls = await Promise.all(ids.map((id) => resultOf(pictures.get(id))));
      return Object.fromEntries(ids.map((id, index) => [id, urls[index]]).filter(([, url]) => url));
    },
    update: async (id, change) => {
      /** @type {Stored} */
      let stored;
      await write((transaction) => {
        const records = transaction.objectStore("records");
        const getting = records.get(id);
        getting.onsuccess = () => {
          stored = upgraded(getting.result);
          const next = change(stored);
          if (next) records.put(next);
          else records.delete(id);
          keepPictures(transaction, stored, next);
        };
      });
      return stored;
    },
    setAside: (damaged) =>
      write((transaction) => {
        for (const record of damaged) {
          transaction.objectStore("aside").add(record);
          transaction.objectStore("records").delete(record.id);
        }
      }),
  };
}

/** A store for as long as the page is open, where the browser keeps nothing. @returns {Store} */
export function memoryStore() {
  /** @type {Map<string, ConversationRecord>} */
  const records = new Map();
  return {
    all: async () => [...records.values()],
    aside: async () => [],
    get: async (id) => records.get(id),
    pixels: async (ids) => urlsOf(ids),
    update: async (id, change) => {
      const stored = records.get(id);
      const next = change(stored);
      if (next) records.set(id, next);
      else records.delete(id);
      return stored;
    },
    setAside: async () => {},
  };
}

/** The id of the conversation that the tab showed before a reload. */
export const rememberedId = () => ifStored(() => sessionStorage.getItem(CURRENT));

/** @param {string} id */
export const rememberId = (id) => ifStored(() => sessionStorage.setItem(CURRENT, id));

/** What a reload came before the save of; null is nothing. @returns {ConversationRecord | null} */
export const unsaved = () => JSON.parse(ifStored(() => sessionStorage.getItem(UNSAVED)) ?? "null");

/** @param {ConversationRecord | null} record */
export const setUnsaved = (record) =>
  ifStored(() =>
    record ? sessionStorage.setItem(UNSAVED, JSON.stringify(record)) : sessionStorage.removeItem(UNSAVED),
  );
