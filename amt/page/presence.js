/** Whether the rater is at the page: it is in front, has the focus, and its window stays as it is. */

let lastAway = -Infinity; // the last moment at which it was found out, also by coming back
let leaving = false; // a page that is left or reloaded is hidden at its end, which is no interruption

addEventListener("pagehide", () => (leaving = true));
for (const [target, event] of [[document, "visibilitychange"], [window, "blur"], [window, "focus"]]) {
  target.addEventListener(event, () => (lastAway = performance.now()));
}

/** Whether the page is not in front now, or was not at some moment since `time`, a performance.now(). */
export function awaySince(time) {
  return document.hidden || !document.hasFocus() || lastAway > time;
}

/**
 * @param {(reason: "hidden" | "blur" | "resize") => void} onInterruption called each time
 * @returns {() => void} ends it
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
