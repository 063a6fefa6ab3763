/** Texts for raters by language. English is complete and fills the gaps of other languages. */

const seconds = (ms) => (ms === 1000 ? "1 second" : `${Math.round(ms / 100) / 10} seconds`);
const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

const ENGLISH = {
  preview: "Preview: nothing is stored",
  simulated: "Simulated study: answers are not analysed",
  notes: {
    lost: "Connection lost, retrying. Your answers are kept; please leave this page open.",
    slow: "Loading the next pair …",
  },
  contact: "Questions? Write to",
  next: "Continue",

  landing: {
    ask:
      "You will see pairs of images, one image after the other. One is real. The other is fake: a computer program " +
      "made it. After each pair you say which one was fake.",
    minutes: (n) => [`About ${n}`, n === 1 ? "minute" : "minutes"],
    pairs: (n) => [`${n}`, n === 1 ? "pair of images" : "pairs of images"],
    controls: ["Mouse", "or keyboard"],
    stop: "Taking part is voluntary, and you can stop at any time. Please use a computer, not a phone.",
    begin: "Begin",
  },

  checking: { title: "Checking your display", text: "This takes about two seconds." },

  obstacles: {
    title: "This does not fit your screen yet",
    lead: "The images must be shown in a certain size and for a certain time. Please fix this, then check again:",
    touch: "Use a computer with a mouse, a touchpad or a keyboard: this device has a touchscreen only.",
    small: ({ width, height }, [w, h]) =>
      `Make the window larger: it must have room for ${width} × ${height} pixels and has ${w} × ${h}.`,
    zoomed: "Set the zoom of this page to 100 %: press Ctrl and 0, or ⌘ and 0 on a Mac.",
    slow: ({ hertz }, found) =>
      `Your display shows ${Math.round(found)} frames per second, and ${hertz} are needed. Close other programs, or plug ` +
      "in the power supply.",
    again: "Check again",
    leave: "I cannot change this",
  },
  ineligible: {
    title: "Thank you for your interest",
    text: "Unfortunately the study cannot be shown on this device.",
  },

  consent: { title: "Your consent", agree: "I agree", decline: "I do not agree" },
  declined: { title: "You did not agree", text: "That is fine. No images are shown, and you can close this page." },

  instructions: {
    title: "How it works",
    left: (exposure) => `An image appears on the left, for ${seconds(exposure)}.`,
    right: (exposure) => `Then one on the right, for ${seconds(exposure)}.`,
    answer: "Then you say which one was fake. Take your time; if unsure, guess.",
    keys: ["Click, or press", "for left and", "for right."],
    practice: (n) => `First come ${count(n, "pair", "pairs")} for practice: after each you see whether you were right.`,
    scored: (n) => `Then come ${count(n, "pair", "pairs")} where you do not.`,
    only: (n) => `There are ${count(n, "pair", "pairs")}.`,
    stay: "Please keep this page in front and the window as it is while images are shown.",
    start: (practice) => (practice ? "Start the practice" : "Start"),
  },
  preload: { title: "Loading the images", text: "The first pair appears when loading is complete.", progress: "Images loaded" },
  back: {
    title: "Welcome back",
    text: "Your answers so far are kept. You continue where you left off.",
  },
  scored: {
    title: "The practice is over",
    text: (n) => `Now come ${count(n, "pair", "pairs")}. You are no longer told which image was fake.`,
    start: "Start",
  },

  stage: {
    label: "Images",
    question: "Which image was fake?",
    left: "Left",
    right: "Right",
    keys: { left: "F  or  ←", right: "J  or  →" },
    leftImage: "left image",
    rightImage: "right image",
    practice: (number, of) => `Practice ${number} of ${of}`,
    scored: (number, of) => `Pair ${number} of ${of}`,
    real: "Real",
    fake: "Fake",
    chosen: "your answer",
    correct: "Correct",
    wrong: "Not this time",
  },

  interrupted: {
    title: "A short interruption",
    text: "The images were interrupted; here is another pair.",
    hint: "Please keep this page in front and the window as it is while images are shown.",
  },
  paused: { title: "Paused", text: "This page was not in front. Continue when you are ready." },
  cramped: {
    title: "The window is too small",
    text: ({ width, height }) => `Please make it at least ${width} × ${height} pixels large, then continue.`,
  },
  otherTab: {
    title: "This study was opened in another tab or window",
    text: "Please continue there. If you closed it, you can continue here; your answers are kept.",
    here: "Continue here",
  },

  comment: {
    title: "Almost done",
    text: "Did you notice anything, or did something go wrong? You can leave this empty.",
    label: "Your comment",
    finish: "Finish",
  },
  finished: {
    title: "Thank you!",
    score: (correct, of) => `You found the fake in ${correct} of ${count(of, "pair", "pairs")}.`,
    code: "Your completion code",
    copy: "Copy",
    copied: "Copied",
    close: "Your answers are stored. You can close this page.",
    redirect: "Your answers are stored. You are being taken back …",
    go: "Go back now",
  },

  withdraw: {
    link: "Stop and withdraw my answers",
    title: "Stop and withdraw?",
    text: "All your answers will be deleted. You cannot take part again afterwards.",
    yes: "Withdraw my answers",
    no: "Continue the study",
  },
  withdrawn: { title: "You have withdrawn", text: "Your answers were deleted. You can close this page." },

  // by the word of the server's refusal
  refused: {
    finished: { title: "You have taken part already", text: "Each person takes part once. Thank you!" },
    ended: {
      title: "The study ends here",
      text: "The images were interrupted too often, so the session cannot continue. Thank you for your time.",
    },
    declined: { title: "You did not agree", text: "You declined to take part earlier, so the study is over for you." },
    ineligible: { title: "This device does not fit", text: "The study could not be shown on your device." },
    withdrawn: { title: "You have withdrawn", text: "You withdrew your answers earlier, so the study is over for you." },
    full: { title: "The study is full", text: "All places are taken. Thank you for your interest." },
    closed: { title: "The study is closed", text: "No more answers are accepted. Thank you for your interest." },
    link: { title: "A personal link is needed", text: "Please open the link that you were sent, exactly as it is." },
    prolific: { title: "Please use Prolific", text: "This study is open to participants on Prolific only." },
    abandoned: {
      title: "The place was given to someone else",
      text: "You were away for too long, so the study is over for you. Thank you for your interest.",
    },
    study: { title: "There is no study here", text: "Please check the address that you were given." },
    unexpected: {
      title: "Something went wrong",
      text: "Please reload the page to continue; your answers are kept.",
      reload: "Reload",
    },
  },
};

const CATALOGUE = { en: ENGLISH };

/** Texts in the first available language. @param {readonly string[]} languages such as "de-AT" */
export function textsFor(languages) {
  const language = languages.map((tag) => tag.split("-")[0].toLowerCase()).find((tag) => tag in CATALOGUE) ?? "en";
  return { language, ...over(ENGLISH, CATALOGUE[language]) };
}

/** Overlay `texts` on `basis`. */
function over(basis, texts) {
  if (typeof basis !== "object" || Array.isArray(basis)) return texts ?? basis;
  return Object.fromEntries(Object.entries(basis).map(([key, value]) => [key, over(value, texts?.[key])]));
}
