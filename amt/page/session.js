/** Session on the server. Answers are stored in the tab until the server acknowledges them. */

import { Refused } from "./api.js";

const HEARTBEAT = 60_000;
const EARLY_AGAIN = 250;

export class Session {
  #api;
  #tab;
  #id;
  #token;
  #key;

  /** Find or create the rater's session. Other tabs lose it. */
  static async start(api, study, rater, tab) {
    const body = await api.json("POST", `api/studies/${study}/sessions`, { body: rater });
    return new Session(api, tab, body.session, body.token, body.consented);
  }

  constructor(api, tab, id, token, consented) {
    /** Whether the rater has given consent before. */
    this.consented = consented;
    this.#api = api;
    this.#tab = tab;
    this.#id = id;
    this.#token = token;
    this.#key = `answers-${id}`;
  }

  environment(seen) {
    return this.#post("environment", seen);
  }

  consent(version, agreed) {
    return this.#post("consent", { version, agreed });
  }

  /**
   * The server's position. It voids a trial that was shown and not answered.
   *
   * @returns {Promise<{trial: object | null, ahead?: object[]}>} null: there are no more
   */
  next() {
    return this.#request("GET", "next");
  }

  shown(k) {
    return this.#post(`trials/${k}/shown`);
  }

  interrupted(k, reason) {
    return this.#post(`trials/${k}/void`, { reason });
  }

  /** @returns {Promise<object | null>} the server's reply; null if it no longer accepts the answer */
  async answer(k, body) {
    const waiting = this.#waiting();
    this.#keep({ ...waiting, [k]: body });
    return this.#deliver(k, body);
  }

  /** Send answers that were not acknowledged before a reload. */
  async settle() {
    for (const [k, body] of Object.entries(this.#waiting())) await this.#deliver(k, body);
  }

  comment(text) {
    return this.#post("comment", { text });
  }

  complete() {
    return this.#post("complete");
  }

  withdraw() {
    return this.#post("withdraw");
  }

  /** @returns {Promise<ImageBitmap>} */
  async picture(name) {
    try {
      return await this.#api.picture(this.#token, name);
    } catch (error) {
      if (error.status === 404) await this.#post("heartbeat"); // fails if another tab has the session
      throw error;
    }
  }

  /** @returns {() => void} stops it */
  heartbeat() {
    const timer = setInterval(
      () => this.#api.once("POST", `api/sessions/${this.#id}/heartbeat`, this.#token),
      HEARTBEAT,
    );
    return () => clearInterval(timer);
  }

  async #deliver(k, body) {
    for (;;) {
      try {
        const said = await this.#request("PUT", `trials/${k}/response`, body, true);
        this.#forget(k);
        return said;
      } catch (error) {
        if (!(error instanceof Refused) || error.status === 401) throw error; // stored, and sent after a new start
        if (error.word === "early") {
          await new Promise((resolve) => setTimeout(resolve, EARLY_AGAIN));
          continue;
        }
        this.#forget(k);
        if (error.status === 409) return null; // void, or answered before
        throw error;
      }
    }
  }

  #waiting() {
    return JSON.parse(this.#tab.get(this.#key) ?? "{}");
  }

  #forget(k) {
    const { [k]: _, ...left } = this.#waiting();
    this.#keep(left);
  }

  #keep(answers) {
    if (Object.keys(answers).length) this.#tab.set(this.#key, JSON.stringify(answers));
    else this.#tab.remove(this.#key);
  }

  #post(path, body = {}) {
    return this.#request("POST", path, body);
  }

  #request(method, path, body, keepalive = false) {
    return this.#api.json(method, `api/sessions/${this.#id}/${path}`, { token: this.#token, body, keepalive });
  }
}
