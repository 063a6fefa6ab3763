/** Status line at the bottom of the page. */

export class Note {
  #root;
  #texts;
  #on = new Set();

  /** @param {HTMLElement} root @param {Record<string, string>} texts by name, the most important first */
  constructor(root, texts) {
    this.#root = root;
    this.#texts = texts;
  }

  /** Turn a message on or off; the most important one is shown. */
  set(name, on) {
    if (on) this.#on.add(name);
    else this.#on.delete(name);
    const first = Object.keys(this.#texts).find((each) => this.#on.has(each));
    const text = first ? this.#texts[first] : "";
    if (this.#root.textContent !== text) this.#root.textContent = text; // screen readers announce changes only
  }
}
