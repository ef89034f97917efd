// What the page of questionnaires keeps on this device, in IndexedDB: answers until the server has
// them, and questionnaires so that they can be filled in without a connection. Where the browser
// does not let it keep anything, it is kept as long as the page is open.

const stores = { responses: 'id', instruments: 'address' };
const memory = { responses: new Map(), instruments: new Map() };   // what could not be kept
const listeners = [];
let opening = null;

/** Whether everything so far outlives the page. */
export let lasting = true;

/** Calls back once something cannot be kept. */
export function onNotKept(listener) {
  listeners.push(listener);
}

/** Asks the browser not to clear away what is kept when it needs space. Some browsers ask the user. */
export function askToKeep() {
  navigator.storage?.persist?.().catch(() => {});
}

/** All values of a store: 'responses' by their id, 'instruments' by their address. */
export async function all(store) {
  const { result = [] } = await run(store, 'readonly', (s) => s.getAll());
  const known = memory[store];
  return [...result.filter((value) => !known.has(value[stores[store]])), ...[...known.values()].filter(Boolean)];
}

/** One value, or undefined. */
export async function get(store, key) {
  if (memory[store].has(key)) return memory[store].get(key) ?? undefined;
  return (await run(store, 'readonly', (s) => s.get(key))).result;
}

/** Keeps a value. It is on the disk when this resolves, or in memory and lasting is false. Never rejects. */
export async function put(store, value) {
  const { done } = await run(store, 'readwrite', (s) => s.put(value));
  if (done) memory[store].delete(value[stores[store]]);
  else memory[store].set(value[stores[store]], value);
}

/** Forgets a value. Never rejects. */
export async function remove(store, key) {
  const { done } = await run(store, 'readwrite', (s) => s.delete(key));
  if (done) memory[store].delete(key);
  else memory[store].set(key, null);
}

// What the request that work makes gives, once its transaction has ended, as {done, result}.
async function run(store, mode, work) {
  try {
    opening ??= open();
    const db = await opening;
    return await new Promise((resolve, reject) => {
      const transaction = db.transaction(store, mode, { durability: 'strict' });
      const request = work(transaction.objectStore(store));
      transaction.oncomplete = () => resolve({ done: true, result: request.result });
      transaction.onabort = () => reject(transaction.error);
    });
  } catch {
    opening = null;     // the browser may have closed it: opened anew the next time
    lasting = false;
    for (const listener of listeners) listener();
    return { done: false };
  }
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('casepress', 1);
    request.onupgradeneeded = () => {
      for (const [name, keyPath] of Object.entries(stores)) request.result.createObjectStore(name, { keyPath });
    };
    request.onsuccess = () => {
      const db = request.result;
      db.onversionchange = () => { db.close(); opening = null; };
      db.onclose = () => { opening = null; };
      resolve(db);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error('another page of an earlier release is open'));
  });
}
