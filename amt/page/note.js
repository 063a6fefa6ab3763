/** The quiet line at the bottom of the page. */

export class Note {
  #root;
  #texts;
  #on = new Set();

  /** @param {HTMLElement} root @param {Record<string, string>} texts by name, the most important first */
  constructor(root, texts) {
    this.#root = root;
    this.#texts = texts;
  }

  /** Say it, or say it no more. */
  set(name, on) {
    if (on) this.#on.add(name);
    else this.#on.delete(name);
    const first = Object.keys(this.#texts).find((each) => this.#on.has(each));
    const text = first ? this.#texts[first] : "";
    if (this.#root.textContent !== text) this.#root.textContent = text; // read aloud only when it changes
  }
}
