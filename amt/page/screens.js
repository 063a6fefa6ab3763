/** Screens of the study, from the first to the last. */

import { element } from "./card.js";

const COMMENT_LENGTH = 2000;
const READING = 4000; // before a rater is redirected
const COPIED = 2000;

export class Screens {
  #card;
  #texts;
  #study;

  /**
   * @param {import("./card.js").Card} card
   * @param {object} texts
   * @param {object} study as the server describes it
   */
  constructor(card, texts, study) {
    this.#card = card;
    this.#texts = texts;
    this.#study = study;
  }

  landing() {
    const { landing } = this.#texts;
    const { title, minutes, practice, scored } = this.#study;
    const facts = [landing.minutes(minutes), landing.pairs(practice + scored), landing.controls];
    const items = facts.map(([main, rest]) => element("li", {}, element("b", {}, main), ` ${rest}`));
    const body = [
      element("p", { class: "lead" }, landing.ask),
      element("ul", { class: "facts" }, ...items),
      element("p", {}, landing.stop),
    ];
    return this.#card.ask({ title, body, buttons: [{ label: landing.begin }] });
  }

  /** Shown while the display is measured. */
  checking(work) {
    const { title, text } = this.#texts.checking;
    return this.#card.during({ title, body: [paragraph(text)] }, work);
  }

  /** @returns {Promise<boolean>} whether to check again; otherwise the rater gives up */
  obstacles(unmet, seen) {
    const { obstacles } = this.#texts;
    const { requirements } = this.#study;
    const fixes = {
      touch: obstacles.touch,
      zoomed: obstacles.zoomed,
      small: obstacles.small(requirements, seen.viewport),
      slow: obstacles.slow(requirements, seen.hertz),
    };
    const reasons = element("ul", { class: "reasons" }, ...unmet.map((reason) => element("li", {}, fixes[reason])));
    const buttons = [
      { label: obstacles.again, value: true },
      { label: obstacles.leave, value: false },
    ];
    return this.#card.ask({ title: obstacles.title, body: [paragraph(obstacles.lead), reasons], buttons });
  }

  /** @returns {Promise<boolean>} whether the rater agrees */
  consent() {
    const { title, agree, decline } = this.#texts.consent;
    const buttons = [
      { label: agree, value: true },
      { label: decline, value: false },
    ];
    const body = this.#study.consent.paragraphs.map(paragraph);
    return this.#card.ask({ title, body, buttons, deliberate: true });
  }

  instructions() {
    const { instructions: texts } = this.#texts;
    const { timing, practice, scored } = this.#study;
    const steps = [texts.left(timing.exposure), texts.right(timing.exposure), texts.answer];
    const [press, left, right] = texts.keys;
    const body = [
      element("ol", { class: "steps" }, ...steps.map((step, index) => element("li", {}, sketch(index), step))),
      element("p", {}, `${press} `, ...keys("F", "←"), ` ${left} `, ...keys("J", "→"), ` ${right}`),
      paragraph(practice ? `${texts.practice(practice)} ${texts.scored(scored)}` : texts.only(scored)),
      paragraph(texts.stay),
    ];
    return this.#card.ask({ title: texts.title, body, buttons: [{ label: texts.start(practice > 0) }] });
  }

  /** Shown while pictures are fetched. @param {(onProgress: (share: number) => void) => Promise<void>} work */
  preload(work) {
    const { title, text, progress } = this.#texts.preload;
    const bar = element("progress", { max: 1, value: 0, "aria-label": progress });
    return this.#card.during({ title, body: [paragraph(text), bar] }, work((share) => (bar.value = share)));
  }

  back() {
    return this.#say(this.#texts.back);
  }

  scored(count) {
    const { title, text, start } = this.#texts.scored;
    return this.#say({ title, text: text(count), start });
  }

  interrupted() {
    return this.#say(this.#texts.interrupted);
  }

  paused() {
    return this.#say(this.#texts.paused);
  }

  cramped() {
    const { title, text } = this.#texts.cramped;
    return this.#say({ title, text: text(this.#study.requirements) });
  }

  otherTab() {
    const { title, text, here } = this.#texts.otherTab;
    return this.#say({ title, text, start: here });
  }

  /** @returns {Promise<string>} may be empty. @param {string} draft text from before a reload */
  async comment(draft, keep) {
    const { title, text, label, finish } = this.#texts.comment;
    const field = element("textarea", { "aria-label": label, maxlength: COMMENT_LENGTH, rows: 4 });
    field.value = draft;
    field.addEventListener("input", () => keep(field.value));
    await this.#card.ask({ title, body: [paragraph(text), field], buttons: [{ label: finish }] });
    return field.value.trim();
  }

  /** End of a completed session. */
  finished({ code, redirect, correct, of }) {
    const { finished } = this.#texts;
    const score = Number.isInteger(correct) ? [element("p", { class: "lead" }, finished.score(correct, of))] : [];
    const stored = paragraph(redirect ? finished.redirect : finished.close);
    this.#card.end({ title: finished.title, body: [...score, ...this.#code(code), stored, ...this.#wayBack(redirect)] });
    if (redirect) setTimeout(() => location.assign(redirect), READING);
  }

  /** End by "declined", "ineligible" or "withdrawn". */
  over(how, redirect = null) {
    const { title, text } = this.#texts[how];
    this.#card.end({ title, body: [paragraph(text), ...this.#wayBack(redirect)] });
    if (redirect) setTimeout(() => location.assign(redirect), READING);
  }

  /** End by a refusal. A rater who has finished before sees the code again. */
  refused(word, { code, redirect } = {}) {
    const known = this.#texts.refused[word];
    const { title, text } = known ?? this.#texts.refused.unexpected;
    const body = [paragraph(text), ...this.#code(code), ...this.#wayBack(redirect)];
    const buttons = known ? [] : [{ label: this.#texts.refused.unexpected.reload }];
    this.#card.end({ title, body, buttons }, () => location.reload());
  }

  #say({ title, text, hint, start = this.#texts.next }) {
    return this.#card.ask({ title, body: [text, hint].filter(Boolean).map(paragraph), buttons: [{ label: start }] });
  }

  #code(code) {
    if (!code) return [];
    const { finished } = this.#texts;
    const copy = element("button", { type: "button", class: "second" }, finished.copy);
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code);
      } catch {
        getSelection().selectAllChildren(shown); // no access to the clipboard: select it for Ctrl+C
        return;
      }
      copy.textContent = finished.copied;
      setTimeout(() => (copy.textContent = finished.copy), COPIED);
    });
    const shown = element("code", { translate: "no" }, code);
    return [element("p", { class: "label" }, finished.code), element("div", { class: "code" }, shown, copy)];
  }

  #wayBack(redirect) {
    if (!redirect) return [];
    return [element("p", {}, element("a", { href: redirect, class: "main" }, this.#texts.finished.go))];
  }
}

function paragraph(text) {
  return element("p", {}, text);
}

function keys(...names) {
  return names.flatMap((name, index) => [...(index ? [" "] : []), element("kbd", {}, name)]);
}

/** A small drawing of a step: 0 left image, 1 right image, 2 the question. */
function sketch(step) {
  const drawing = element("span", { class: "sketch", "data-step": step, "aria-hidden": "true" });
  drawing.append(element("i", {}, step === 2 ? "?" : ""), element("i", {}, step === 2 ? "?" : ""));
  return drawing;
}
