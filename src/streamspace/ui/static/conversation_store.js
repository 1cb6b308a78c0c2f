// Where this browser keeps conversations, as records of one IndexedDB; they are never sent anywhere.

/** @import { ConversationRecord } from "./conversation_records.js" */
import { upgraded } from "./conversation_records.js";

export const DATABASE = "streamspace-conversations";
const CURRENT = "streamspace-conversation"; // in the tab's own sessionStorage: which conversation it shows

/** `all` and `aside` give whatever a damaged store has. `update` replaces a record by the result of `change` (null
 * deletes it) and gives the record before. `setAside` moves damaged records to where only an export reads them.
 * @typedef {ConversationRecord | undefined} Stored
 * @typedef {{
 *   all: () => Promise<any[]>,
 *   aside: () => Promise<any[]>,
 *   get: (id: string) => Promise<Stored>,
 *   update: (id: string, change: (stored: Stored) => ConversationRecord | null) => Promise<Stored>,
 *   setAside: (damaged: any[]) => Promise<void>,
 * }} Store */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const resultOf = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** @returns {Promise<Store>} */
export async function openStore() {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore("records", { keyPath: "id" });
    opening.result.createObjectStore("aside", { autoIncrement: true });
  };
  const database = await resultOf(opening);
  database.onversionchange = () => database.close();
  /** @param {string} name */
  const read = (name) => database.transaction(name).objectStore(name);
  /** @param {(records: IDBObjectStore, aside: IDBObjectStore) => void} work @returns {Promise<void>} */
  const write = (work) =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(["records", "aside"], "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
      work(transaction.objectStore("records"), transaction.objectStore("aside"));
    });
  return {
    all: async () => (await resultOf(read("records").getAll())).map(upgraded),
    aside: () => resultOf(read("aside").getAll()),
    get: async (id) => upgraded(await resultOf(read("records").get(id))),
    update: async (id, change) => {
      /** @type {Stored} */
      let stored;
      await write((records) => {
        const getting = records.get(id);
        getting.onsuccess = () => {
          stored = upgraded(getting.result);
          const next = change(stored);
          if (next) records.put(next);
          else records.delete(id);
        };
      });
      return stored;
    },
    setAside: (damaged) =>
      write((records, aside) => {
        for (const record of damaged) {
          aside.add(record);
          records.delete(record.id);
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

/** The tab's own storage, which a reload leaves alone; null where it is blocked.
 * @template T @param {(storage: Storage) => T} work */
function inTab(work) {
  try {
    return work(sessionStorage);
  } catch {
    return null;
  }
}

/** The id of the conversation that the tab showed before a reload. */
export const rememberedId = () => inTab((storage) => storage.getItem(CURRENT));

/** @param {string} id */
export const rememberId = (id) => inTab((storage) => storage.setItem(CURRENT, id));
