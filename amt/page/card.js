/** Card with a title, text and at most two buttons; the page shows one at a time. */

/** Withdrawal: the rater stops, and the answers are deleted. */
export class Withdrawn extends Error {}

const OWN_KEYS = "button, a, textarea";

/** Whether Enter or Space is pressed outside elements that use these keys. */
function isPress({ key, repeat, target }) {
  const free = !target.closest?.(OWN_KEYS) && !document.querySelector("dialog");
  return (key === "Enter" || key === " ") && !repeat && free;
}

/** Create an element. Children are nodes or text, never parsed as HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * @typedef {object} Content
 * @property {string} title
 * @property {Node[]} [body]
 * @property {Array<{label: string, value?: any}>} [buttons] the first is the main one
 * @property {boolean} [deliberate] Enter and Space only press a focused button
 */

export class Card {
  #root;
  #live;
  #texts;

  #decision = Promise.resolve(); // pending while the rater decides whether to withdraw

  /** Whether there is a session to withdraw from. */
  withdrawable = false;

  /** Contact for questions: an address, or any text. */
  contact = "";

  /** @param {{root: HTMLElement, live: HTMLElement}} elements of the page @param {object} texts */
  constructor({ root, live }, texts) {
    this.#root = root;
    this.#live = live;
    this.#texts = texts;
  }

  /** Wait for one of the buttons. @param {Content} content @returns {Promise<any>} its value */
  ask(content) {
    return new Promise((resolve, reject) => {
      const [main] = this.#show(content, resolve, reject);
      if (content.deliberate) return;
      const press = (event) => {
        if (!main.isConnected || document.body.dataset.view !== "screen") removeEventListener("keydown", press);
        else if (isPress(event)) {
          event.preventDefault();
          main.click();
        }
      };
      addEventListener("keydown", press);
    });
  }

  /** Show a card while work is in progress. @param {Content} content without buttons @param {Promise<any>} work */
  during(content, work) {
    return new Promise((resolve, reject) => {
      this.#show(content, resolve, reject);
      work.then((value) => this.#decision.then(() => resolve(value)), reject);
    });
  }

  /** Show the last card. @param {Content} content @param {(value: any) => void} [pressed] */
  end(content, pressed = () => {}) {
    this.withdrawable = false;
    this.#show(content, pressed);
  }

  #show({ title, body = [], buttons = [] }, resolve, reject) {
    const made = buttons.map(({ label, value }, index) => {
      const button = element("button", { type: "button", class: index ? "second" : "main" }, label);
      button.addEventListener("click", () => {
        for (const other of made) other.disabled = true; // a second click is no second answer
        resolve(value);
      });
      return button;
    });
    const card = element("div", { class: "card" }, element("h1", {}, title), ...body);
    if (made.length) card.append(element("div", { class: "buttons" }, ...made));
    this.#root.replaceChildren(card, this.#foot(reject));
    document.body.dataset.view = "screen";
    this.#live.textContent = title;
    this.#root.focus({ preventScroll: true });
    scrollTo(0, 0);
    return made;
  }

  #foot(reject) {
    const foot = element("footer");
    if (this.contact) {
      const address = /^[^\s@]+@[^\s@]+$/.test(this.contact);
      const contact = address ? element("a", { href: `mailto:${this.contact}` }, this.contact) : this.contact;
      foot.append(element("p", {}, `${this.#texts.contact} `, contact));
    }
    if (this.withdrawable) {
      const link = element("button", { type: "button", class: "link" }, this.#texts.withdraw.link);
      link.addEventListener("click", () => this.#confirm(reject));
      foot.append(link);
    }
    return foot;
  }

  #confirm(reject) {
    const { title, text, yes, no } = this.#texts.withdraw;
    const stop = element("button", { type: "button", class: "second" }, yes);
    const stay = element("button", { type: "button", class: "main" }, no);
    const dialog = element("dialog", { "aria-label": title }, element("h2", {}, title), element("p", {}, text));
    dialog.append(element("div", { class: "buttons" }, stay, stop));
    stay.addEventListener("click", () => dialog.close());
    stop.addEventListener("click", () => {
      dialog.close();
      reject(new Withdrawn());
    });
    document.body.append(dialog);
    dialog.showModal();
    this.#decision = new Promise((resolve) => {
      dialog.addEventListener("close", () => {
        dialog.remove();
        resolve();
      });
    });
  }
}
