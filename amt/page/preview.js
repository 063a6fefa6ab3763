/** Preview session for the researcher, in this page only; nothing is stored. */

export class Preview {
  #api;
  #trials;
  #token;
  #answered = new Set();
  consented = false;

  static async start(api, study) {
    const { trials, token } = await api.json("GET", `api/studies/${study}/preview`);
    return new Preview(api, trials, token);
  }

  constructor(api, trials, token) {
    this.#api = api;
    this.#trials = trials;
    this.#token = token;
  }

  async environment() {
    return { redirect: null };
  }

  async consent() {
    return { redirect: null };
  }

  async settle() {}

  async next() {
    const [trial = null, ...ahead] = this.#trials.filter(({ k }) => !this.#answered.has(k));
    return { trial, ahead };
  }

  async shown() {}

  /** A preview has no spare pairs, so the same pair is shown again. */
  async interrupted() {
    return { ended: false };
  }

  async answer(k, { choice }) {
    this.#answered.add(k);
    const { fake } = this.#trials.find((trial) => trial.k === k);
    return fake ? { correct: choice === fake, fake } : {};
  }

  async comment() {}

  async complete() {
    return { code: "PREVIEW", redirect: null };
  }

  async withdraw() {}

  picture(name) {
    return this.#api.picture(this.#token, name);
  }

  heartbeat() {
    return () => {};
  }
}
