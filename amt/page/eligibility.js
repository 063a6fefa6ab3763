/** Check that display and window meet the study's requirements. */

const ZOOMS = [1.1, 1.2, 1.25, 1.33, 1.5, 1.7, 1.75, 2, 2.4, 2.5, 3, 4, 5]; // levels in browsers' menus
const SLACK = 0.98; // a display of 50 Hz may measure slightly lower

/** @param {number} frame median milliseconds between frames */
export function environment(frame) {
  return {
    viewport: [innerWidth, innerHeight],
    screen: [screen.width, screen.height],
    pixel_ratio: devicePixelRatio,
    hertz: round(1000 / frame),
    frame_ms: round(frame),
    touch: matchMedia("(any-pointer: coarse)").matches,
    language: navigator.language,
  };
}

/**
 * Unmet requirements; empty if the rater can take part.
 *
 * @param {ReturnType<typeof environment> & {zoomed: boolean, touchOnly: boolean}} seen
 * @param {{width: number, height: number, hertz: number}} required CSS pixels, frames per second
 * @returns {Array<"touch" | "small" | "zoomed" | "slow">}
 */
export function obstacles(seen, required) {
  const unmet = [];
  if (seen.touchOnly) unmet.push("touch");
  if (seen.zoomed) unmet.push("zoomed");
  if (!roomy(seen.viewport, required)) unmet.push("small");
  if (seen.hertz < required.hertz * SLACK) unmet.push("slow");
  return unmet;
}

/** Whether the window is large enough. */
export function roomy([width, height], required) {
  return width >= required.width && height >= required.height;
}

/** Whether touch is the only pointer. */
export function touchOnly() {
  return matchMedia("(any-pointer: coarse)").matches && !matchMedia("(any-pointer: fine)").matches;
}

/**
 * Whether the page is zoomed; an estimate, since no browser reports it.
 *
 * Zooming changes the ratio of the window's outer to its inner width in CSS pixels. A docked panel raises it too, so a
 * larger ratio counts only if browsers' menus offer it and the pixel ratio fits.
 */
export function zoomed({ inner, outer, pixelRatio, pinch }) {
  if (Math.abs(pinch - 1) > 0.01 || pixelRatio < 0.95) return true;
  const ratio = outer / inner;
  if (!ratio || !Number.isFinite(ratio)) return false;
  if (ratio < 0.95) return true;
  const zoom = ZOOMS.find((level) => ratio > level - 0.02 && ratio < level + 0.03);
  if (!zoom) return false;
  const scale = pixelRatio / zoom; // the implied scaling of the system: 1, 1.25, 1.5, ...
  return scale > 0.98 && Math.abs(scale * 4 - Math.round(scale * 4)) < 0.06;
}

export function zoomedNow() {
  const pinch = visualViewport?.scale ?? 1;
  return zoomed({ inner: innerWidth, outer: outerWidth, pixelRatio: devicePixelRatio, pinch });
}

function round(value) {
  return Math.round(value * 1000) / 1000;
}
