/** What the page remembers over a reload, also where the browser blocks storage. */

/** The part of the address after #, which no server is sent: survives a reload, and a copied address. */
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

/** The tab's entry in its history: survives a reload, is not seen in the address. */
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

/** Items by key in the first place that takes them; in this page's own memory if none does. */
class Memory {
  #places;
  #here = new Map();

  /** @param {Array<() => Pick<Storage, "getItem" | "setItem" | "removeItem">>} places may throw where they are blocked */
  constructor(...places) {
    this.#places = places;
  }

  get(key) {
    for (const place of this.#places) {
      try {
        const value = place().getItem(key);
        if (value !== null) return value;
      } catch {
        continue; // blocked
      }
    }
    return this.#here.get(key) ?? null;
  }

  set(key, value) {
    this.#here.delete(key);
    for (const place of this.#places) {
      try {
        place().setItem(key, value);
        return;
      } catch {
        drop(place, key); // blocked, or full: an old value must not stand in the way of the next place's
      }
    }
    this.#here.set(key, value);
  }

  remove(key) {
    this.#here.delete(key);
    for (const place of this.#places) drop(place, key);
  }
}

function drop(place, key) {
  try {
    place().removeItem(key);
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
