/** Stage for images and answers. Its `data-phase` alone determines what is visible. */

import { moment } from "./presence.js";

const KEYS = { f: "left", arrowleft: "left", j: "right", arrowright: "right" };
const SIDES = ["left", "right"];

export class Stage {
  #root;
  #live;
  #texts;
  #places;

  /**
   * @param {{root: HTMLElement, live: HTMLElement}} elements of the page
   * @param {object} texts
   * @param {{width: number, height: number}} size of an image, in CSS pixels
   */
  constructor({ root, live }, texts, { width, height }) {
    this.#root = root;
    this.#live = live;
    this.#texts = texts;
    this.#places = Object.fromEntries(SIDES.map((side) => [side, root.querySelector(`.place[data-side=${side}]`)]));
    root.setAttribute("aria-label", texts.label);
    root.style.setProperty("--width", `${width}px`);
    root.style.setProperty("--height", `${height}px`);
    root.querySelector("#question").textContent = texts.question;
    for (const side of SIDES) {
      const [canvas, button] = this.#places[side].children;
      canvas.width = width;
      canvas.height = height;
      canvas.setAttribute("aria-label", texts[`${side}Image`]);
      const keys = document.createElement("small");
      keys.textContent = texts.keys[side];
      keys.setAttribute("aria-hidden", "true");
      button.replaceChildren(texts[side], keys);
    }
  }

  /** Show the empty stage. @returns {number} since when, a moment */
  blank() {
    this.paint("blank");
    document.body.dataset.view = "stage";
    this.#live.textContent = "";
    return moment();
  }

  /** Show the progress to the next trial. */
  announce({ phase, number, of }) {
    const progress = this.#root.querySelector("#progress");
    progress.firstElementChild.textContent = this.#texts[phase](number, of);
    progress.style.setProperty("--done", `${(number - 1) / of}`);
  }

  /** Draw a pair, left then right, without showing it. */
  draw(bitmaps) {
    for (const [index, side] of SIDES.entries()) {
      const canvas = this.#places[side].querySelector("canvas");
      canvas.getContext("2d").drawImage(bitmaps[index], 0, 0, canvas.width, canvas.height);
    }
  }

  /** @param {"blank" | "left" | "gap" | "right" | "pause" | "prompt" | "feedback"} phase to show */
  paint(phase) {
    this.#root.dataset.phase = phase;
  }

  /**
   * Wait for the answer to the prompt.
   *
   * @param {number} since the prompt's frame; earlier presses do not count
   * @returns {Promise<{choice: "left" | "right", at: number}>} at: the time of its event
   */
  ask(since) {
    this.#live.textContent = this.#texts.question;
    this.#root.focus({ preventScroll: true }); // not a button, lest a stray key press it
    return new Promise((resolve) => {
      const finish = (choice, at) => {
        if (at < since) return;
        this.#root.removeEventListener("click", onClick);
        removeEventListener("keydown", onKey);
        resolve({ choice, at });
      };
      const onClick = (event) => {
        const button = event.target.closest("button");
        if (button) finish(button.dataset.side, event.timeStamp);
      };
      const onKey = (event) => {
        const choice = KEYS[event.key.toLowerCase()];
        if (!choice || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        finish(choice, event.timeStamp);
      };
      this.#root.addEventListener("click", onClick);
      addEventListener("keydown", onKey);
    });
  }

  /** Show both images again, with their labels and the verdict. */
  async feedback({ correct, fake }, choice, duration) {
    const texts = this.#texts;
    for (const side of SIDES) {
      const label = this.#places[side].querySelector(".label");
      const chosen = document.createElement("span");
      chosen.textContent = side === choice ? `${correct ? "✓" : "✗"} ${texts.chosen}` : "";
      label.replaceChildren(side === fake ? texts.fake : texts.real, chosen);
      this.#places[side].classList.toggle("chosen", side === choice);
    }
    const verdict = this.#root.querySelector("#verdict");
    verdict.textContent = correct ? `✓ ${texts.correct}` : `✗ ${texts.wrong}`;
    verdict.dataset.correct = correct;
    this.#live.textContent = `${correct ? texts.correct : texts.wrong}. ${texts[fake]}: ${texts.fake}.`;
    this.paint("feedback");
    await new Promise((resolve) => setTimeout(resolve, duration));
  }
}
