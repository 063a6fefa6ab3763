/** Rater's id from the address or an earlier visit. */

const ID_BYTES = 16;
const PLATFORM = ["STUDY_ID", "SESSION_ID"];

/**
 * @param {"open" | "link" | "prolific"} recruitment the study's way of recruitment
 * @param {URLSearchParams} query of the page's address
 * @param {string | null} id id from an earlier visit, in an open study
 * @returns {{rater: string, rater_source: string, platform?: Record<string, string>} | null} null: recruited another way
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
