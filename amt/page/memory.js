/** Storage that survives a reload, even where the browser blocks storage. */

/** URL fragment, which is not sent to servers: survives a reload and copying the address. */
class Fragment {
  getItem(key) {
    return new URLSearchParams(location.hash.slice(1)).get(key);
  }

  setItem(key, value) {
    const kept = new URLSearchParams(location.hash.slice(1));
    kept.set(key, value);
    history.replaceState(history.state, "", `#${kept}`);
  }

  removeItem(key) {
    const kept = new URLSearchParams(location.hash.slice(1));
    if (!kept.has(key)) return;
    kept.delete(key);
    history.replaceState(history.state, "", `#${kept}`);
  }
}

/** History entry of the tab: survives a reload, and is not visible in the address. */
class HistoryEntry {
  getItem(key) {
    return history.state?.[key] ?? null;
  }

  setItem(key, value) {
    history.replaceState({ ...history.state, [key]: value }, "");
  }

  removeItem(key) {
    const { [key]: _, ...kept } = history.state ?? {};
    history.replaceState(kept, "");
  }
}

/** Items by key in the first store that accepts them, else in the page's memory. */
class Memory {
  #stores;
  #here = new Map();

  /** @param {Array<() => Pick<Storage, "getItem" | "setItem" | "removeItem">>} stores may throw if blocked */
  constructor(...stores) {
    this.#stores = stores;
  }

  get(key) {
    for (const store of this.#stores) {
      try {
        const value = store().getItem(key);
        if (value !== null) return value;
      } catch {
        continue; // blocked
      }
    }
    return this.#here.get(key) ?? null;
  }

  set(key, value) {
    this.#here.delete(key);
    for (const store of this.#stores) {
      try {
        store().setItem(key, value);
        return;
      } catch {
        drop(store, key); // blocked or full: an old value must not hide that of the next store
      }
    }
    this.#here.set(key, value);
  }

  remove(key) {
    this.#here.delete(key);
    for (const store of this.#stores) drop(store, key);
  }
}

function drop(store, key) {
  try {
    store().removeItem(key);
  } catch {
    // blocked
  }
}

const fragment = new Fragment();
const entry = new HistoryEntry();

/** For as long as the tab is open. */
export const tab = new Memory(() => window.sessionStorage, () => entry);

/** For the next visit too. */
export const visits = new Memory(() => window.localStorage, () => fragment);
