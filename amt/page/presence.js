/** Detection of interruptions: the page is hidden, loses focus, or is resized. */

let latest = -Infinity; // last moment
let lastAway = -Infinity; // last observed absence, or return from one
let leaving = false; // leaving or reloading hides a page too, which is no interruption

addEventListener("pagehide", () => (leaving = true));
for (const [target, event] of [[document, "visibilitychange"], [window, "blur"], [window, "focus"]]) {
  target.addEventListener(event, () => (lastAway = moment()));
}

/** @returns {number} performance.now(), but later than any moment before, however coarse the browser's clock is */
export function moment() {
  latest = Math.max(performance.now(), latest + 0.001);
  return latest;
}

/** Whether the page is not in front, or was not since `time`, a moment. */
export function awaySince(time) {
  return document.hidden || !document.hasFocus() || lastAway > time;
}

/**
 * @param {(reason: "hidden" | "blur" | "resize") => void} onInterruption called on each interruption
 * @returns {() => void} stops watching
 */
export function watch(onInterruption) {
  const hidden = () => document.hidden && !leaving && onInterruption("hidden");
  const blur = () => !leaving && onInterruption(document.hidden ? "hidden" : "blur");
  const resize = () => onInterruption("resize");
  document.addEventListener("visibilitychange", hidden);
  addEventListener("blur", blur);
  addEventListener("resize", resize);
  return () => {
    document.removeEventListener("visibilitychange", hidden);
    removeEventListener("blur", blur);
    removeEventListener("resize", resize);
  };
}
