/** Who the rater is, as far as the address or an earlier visit says. */

const ID_BYTES = 16;
const PLATFORM = ["STUDY_ID", "SESSION_ID"];

/**
 * @param {"open" | "link" | "prolific"} recruitment by which way the study's raters come
 * @param {URLSearchParams} query of the page's address
 * @param {string | null} id the one that an earlier visit was given, in an open study
 * @returns {{rater: string, rater_source: string, platform?: Record<string, string>} | null} null: came another way
 */
export function identify(recruitment, query, id) {
  if (recruitment === "prolific") {
    const platform = Object.fromEntries(PLATFORM.filter((key) => query.get(key)).map((key) => [key, query.get(key)]));
    return known(query.get("PROLIFIC_PID"), recruitment, { platform });
  }
  if (recruitment === "link") return known(query.get("link"), recruitment);
  return known(id ?? randomId(), "open");
}

function known(rater, rater_source, more = {}) {
  return rater ? { rater, rater_source, ...more } : null;
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
