/** Flow of a study for a rater, from the first screen to the completion code. */

import { Api, Refused } from "./api.js";
import { Card, Withdrawn } from "./card.js";
import { environment, obstacles, touchOnly, zoomedNow } from "./eligibility.js";
import { measureFrame } from "./frames.js";
import { tab, visits } from "./memory.js";
import { Note } from "./note.js";
import { Pictures, gate } from "./pictures.js";
import { Preview } from "./preview.js";
import { identify } from "./rater.js";
import { Screens } from "./screens.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { textsFor } from "./texts.js";
import { runTrials } from "./trials.js";

const ROOT = new URL("../", import.meta.url); // of the server, possibly with a path prefix
const NAME = new URL(".", location.href).pathname.split("/").at(-2);
const QUERY = new URLSearchParams(location.search);
const PREVIEW = QUERY.has("preview");
const BEGUN = `begun-${NAME}`;
const RATER = `rater-${NAME}`;
const DRAFT = `comment-${NAME}`;

const part = (id) => document.getElementById(id);
const texts = textsFor(navigator.languages);
const note = new Note(part("note"), texts.notes);
const api = new Api(ROOT, (lost) => note.set("lost", lost));
const card = new Card({ root: part("screen"), live: part("live") }, texts);
const exposures = []; // measured on this page; they do not reveal which image is fake

let screens = new Screens(card, texts, null);
document.documentElement.lang = texts.language;
window.p2pbench = Object.freeze({ exposures: () => structuredClone(exposures) });

addEventListener("pageshow", ({ persisted }) => persisted && location.reload()); // restored by the back button

try {
  await takePart(await api.json("GET", `api/studies/${NAME}`));
} catch (error) {
  if (!(error instanceof Refused)) console.error(error);
  screens.refused(error.word, error.body);
}

async function takePart(study) {
  document.title = study.title;
  card.contact = study.contact;
  screens = new Screens(card, texts, study);
  showBanner(study);
  const met = visits.get(RATER);
  const rater = identify(study.recruitment, QUERY, met);
  if (!PREVIEW) {
    if (!rater) return screens.refused(study.recruitment);
    if (study.state === "closed" && rater.rater_source === "open" && !met) return screens.refused("closed");
  }
  if (PREVIEW || !tab.get(BEGUN)) await screens.landing(); // not after a reload
  if (!PREVIEW) {
    tab.set(BEGUN, "yes");
    if (rater.rater_source === "open") visits.set(RATER, rater.rater);
  }
  const display = await look(study);
  const stage = new Stage({ root: part("stage"), live: part("live") }, texts.stage, study);
  for (;;) {
    try {
      return await sit(study, rater, display, stage);
    } catch (error) {
      if (error.word !== "token") throw error;
      await screens.otherTab(); // then start again: the same session with a new token
    }
  }
}

/** Check the display until it is eligible, or the rater gives up. */
async function look(study) {
  for (;;) {
    const frame = await screens.checking(measureFrame());
    const seen = environment(frame);
    const reasons = obstacles({ ...seen, zoomed: zoomedNow(), touchOnly: touchOnly() }, study.requirements);
    if (!reasons.length || !(await screens.obstacles(reasons, seen))) return { frame, seen, reasons };
  }
}

/** Run the session, or the rest of it after a reload. */
async function sit(study, rater, { frame, seen, reasons }, stage) {
  const session = PREVIEW ? await Preview.start(api, NAME) : await Session.start(api, NAME, rater, tab);
  const stopHeartbeat = session.heartbeat();
  try {
    const eligible = reasons.length === 0;
    const { redirect } = await session.environment({ eligible, reasons, ...seen });
    if (!eligible) return screens.over("ineligible", redirect);
    await session.settle();
    const position = await admit(study, session);
    if (!position) return;
    card.withdrawable = true;
    if (position.trial) {
      const pictures = new Pictures((name) => session.picture(name));
      await prepare(study, position, pictures);
      const log = (seen) => exposures.push(seen);
      await runTrials({ session, pictures, stage, screens, note, study, frame, log }, position);
    }
    const comment = await screens.comment(tab.get(DRAFT) ?? "", (text) => PREVIEW || tab.set(DRAFT, text));
    if (comment) await session.comment(comment);
    screens.finished(await session.complete());
    tab.remove(DRAFT);
  } catch (error) {
    if (!(error instanceof Withdrawn)) throw error;
    await session.withdraw();
    screens.over("withdrawn");
  } finally {
    card.withdrawable = false;
    stopHeartbeat();
  }
}

/** Obtain consent, then the server's position. @returns {Promise<object | null>} null without consent */
async function admit(study, session) {
  if (!session.consented) {
    const agreed = await screens.consent();
    const { redirect } = await session.consent(study.consent.version, agreed);
    if (!agreed) {
      screens.over("declined", redirect);
      return null;
    }
  }
  return session.next();
}

/** Show the instructions while pictures load. */
async function prepare(study, { trial, ahead }, pictures) {
  const coming = [trial, ...ahead];
  pictures.want(coming);
  if (trial.number > 1) await screens.back();
  else if (trial.phase === "practice" || !study.practice) await screens.instructions();
  else await screens.scored(trial.of);
  const first = coming.slice(0, gate(trial));
  if (pictures.share(first) < 1) await screens.preload((onProgress) => pictures.ready(first, onProgress));
}

function showBanner(study) {
  const text = PREVIEW ? texts.preview : study.simulated ? texts.simulated : "";
  part("banner").textContent = text;
  part("banner").hidden = !text;
}
