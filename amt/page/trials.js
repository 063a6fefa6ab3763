/** Trials of a session in turn, until the server has no more. */

import { Refused } from "./api.js";
import { roomy } from "./eligibility.js";
import { Course, play } from "./frames.js";

const SLOW = 1500;
const MOST_OUT_OF_STEP = 5;

/**
 * @typedef {object} Sitting
 * @property {import("./session.js").Session} session
 * @property {import("./pictures.js").Pictures} pictures
 * @property {import("./stage.js").Stage} stage
 * @property {import("./screens.js").Screens} screens
 * @property {import("./note.js").Note} note
 * @property {object} study as the server describes it
 * @property {number} frame median milliseconds between frames of the display
 * @property {(exposures: object) => void} log
 */

/**
 * @param {Sitting} sitting
 * @param {{trial: object | null, ahead?: object[]}} position the server's
 */
export async function runTrials(sitting, position) {
  const { session, pictures, stage, screens } = sitting;
  let phase = position.trial?.phase;
  let blankSince = stage.blank();
  let outOfStep = 0;
  for (; position.trial; position = await session.next()) {
    const { trial, ahead } = position;
    if (trial.phase !== phase) {
      await screens.scored(trial.of);
      phase = trial.phase;
      blankSince = stage.blank();
    }
    stage.announce(trial);
    pictures.want([trial, ...ahead]);
    try {
      blankSince = await runTrial(sitting, trial, blankSince);
      outOfStep = 0;
    } catch (error) {
      const known = error instanceof Refused && ["order", "void", "answered"].includes(error.word);
      if (!known || ++outOfStep > MOST_OUT_OF_STEP) throw error; // otherwise resynchronise with the server's next position
      blankSince = stage.blank();
    }
    pictures.release(trial);
  }
}

/** @returns {Promise<number>} start of the next blank */
async function runTrial(sitting, trial, blankSince) {
  const { session, pictures, stage, screens, note, study, frame, log } = sitting;
  while (!roomy([innerWidth, innerHeight], study.requirements)) {
    await screens.cramped();
    blankSince = stage.blank();
  }
  const pair = pictures.pair(trial);
  const slow = setTimeout(() => note.set("slow", true), SLOW);
  stage.draw(await pair.finally(() => clearTimeout(slow)));
  note.set("slow", false);
  await session.shown(trial.k);

  let course, outcome;
  for (;;) {
    course = new Course(study.timing, frame, blankSince);
    outcome = await play(course, (phase) => stage.paint(phase));
    if (!outcome.reason || outcome.seen) break;
    await screens.paused(); // nothing was seen: repeat the pair from its blank
    blankSince = stage.blank();
  }
  if (outcome.reason) {
    const { ended } = await session.interrupted(trial.k, outcome.reason);
    if (ended) throw new Refused(409, { error: "ended" });
    await screens.interrupted();
    return stage.blank();
  }

  log(course.exposures);
  const { choice, at } = await stage.ask(outcome.promptAt);
  const next = stage.blank();
  const said = await session.answer(trial.k, {
    choice,
    response_ms: rounded(at - outcome.promptAt),
    frame_ms: rounded(frame),
    hertz: rounded(1000 / frame),
    exposures: { left: measured(course.exposures.left), right: measured(course.exposures.right) },
  });
  if (!said?.fake) return next;
  await stage.feedback(said, choice, study.timing.feedback);
  return stage.blank();
}

function measured({ on, off, frames, gap }) {
  return { on: rounded(on), off: rounded(off), frames, gap: rounded(gap) };
}

/** Round to microseconds, which survive JSON unchanged. */
function rounded(milliseconds) {
  return Math.round(milliseconds * 1000) / 1000;
}
