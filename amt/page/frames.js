/** Course of a trial in frames of the display, driven by requestAnimationFrame times alone. */

import { awaySince, watch } from "./presence.js";

const FRAMES_MEASURED = 120;

/** @param {number[]} values not empty */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Measure the median milliseconds between frames; takes two seconds at 60 Hz. */
export function measureFrame(count = FRAMES_MEASURED) {
  return new Promise((resolve) => {
    const times = [];
    const tick = (ts) => {
      times.push(ts);
      if (times.length <= count) return requestAnimationFrame(tick);
      const intervals = times.slice(1).map((time, index) => time - times[index]);
      resolve(median(intervals) || (times.at(-1) - times[0]) / count); // the median is 0 where a browser coarsens its clock
    };
    requestAnimationFrame(tick);
  });
}

/**
 * Course of one trial: blank, left, gap, right, pause, prompt.
 *
 * A phase ends at the frame nearest to its end: the first at which it has lasted its duration minus half a frame. This
 * holds at any refresh rate, where counting frames would hold at one. No phase is skipped, however late a frame is.
 */
export class Course {
  #durations;
  #frame;
  #end;
  #last;
  #exposures = {};

  /**
   * @param {{blank: number, exposure: number, gap: number, prompt: number}} timing milliseconds
   * @param {number} frame median milliseconds between frames
   * @param {number} since when the blank began; it ends at the first frame after it
   */
  constructor({ blank, exposure, gap, prompt }, frame, since) {
    this.phase = "blank";
    this.since = since;
    this.#durations = [["left", exposure], ["gap", gap], ["right", exposure], ["pause", prompt], ["prompt", Infinity]];
    this.#frame = frame;
    this.#end = since + blank;
  }

  /** @returns {string} the phase of the frame at `ts`, a requestAnimationFrame time */
  at(ts) {
    const running = this.#exposures[this.phase];
    if (running) running.gap = Math.max(running.gap, ts - this.#last);
    if (ts >= this.#end) {
      if (running) running.off = ts;
      const [phase, duration] = this.#durations.shift();
      this.phase = phase;
      this.#end = ts + duration - this.#frame / 2;
      if (phase === "left" || phase === "right") this.#exposures[phase] = { on: ts, off: null, frames: 1, gap: 0 };
    } else if (running) running.frames++;
    this.#last = ts;
    return this.phase;
  }

  /** @returns {{left: Exposure, right: Exposure}} on, off and longest gap between frames in ms; number of frames */
  get exposures() {
    return this.#exposures;
  }
}

/**
 * Run a trial up to its prompt, in one frame loop.
 *
 * @param {Course} course
 * @param {(phase: string) => void} paint renders a phase
 * @returns {Promise<{promptAt: number} | {reason: "hidden" | "blur" | "resize", seen: boolean}>} the prompt's frame, or
 *     what interrupted the trial, and whether the left image had been shown by then
 */
export function play(course, paint) {
  return new Promise((resolve) => {
    const finish = (outcome) => {
      cancelAnimationFrame(request);
      stopWatching();
      resolve(outcome);
    };
    const stopWatching = watch((reason) => {
      const seen = course.phase !== "blank";
      if (!seen && reason === "resize") return; // nothing has been seen yet, and the page is still in front
      paint("blank");
      finish({ reason, seen });
    });
    const step = (ts) => {
      const before = course.phase;
      if (before === "blank" && awaySince(course.since)) return finish({ reason: "blur", seen: false });
      const phase = course.at(ts);
      if (phase !== before) paint(phase);
      if (phase === "prompt") finish({ promptAt: ts });
      else request = requestAnimationFrame(step);
    };
    let request = requestAnimationFrame(step);
  });
}
