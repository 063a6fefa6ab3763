/** Requests to the server, repeated until it replies; refusals are thrown. */

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
const PATIENCE = 20_000; // for one attempt

/** Refusal by the server. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {{error?: string, message?: string}} body `error` is a word for programs
   */
  constructor(status, body) {
    super(body.message ?? `The server answered ${status}.`);
    this.status = status;
    this.word = body.error ?? "";
    this.body = body;
  }
}

/**
 * Milliseconds before the next attempt, after `failed` failed ones. Up to half is random, so that many raters do not
 * return at the same moment.
 */
export function backoff(failed, chance = Math.random()) {
  return Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failed - 1)) * (1 - chance / 2);
}

/** Whether a later attempt may succeed. */
export function passing(status) {
  return status === 408 || status === 429 || status >= 500;
}

export class Api {
  #root;
  #failing = 0;
  #onLost;

  /**
   * @param {URL} root the server's, with its path prefix
   * @param {(lost: boolean) => void} onLost called when the connection is lost or restored
   */
  constructor(root, onLost) {
    this.#root = root;
    this.#onLost = onLost;
  }

  /** @returns {Promise<any>} the answer's JSON */
  async json(method, path, { token, body, keepalive } = {}) {
    return this.#patiently(async () => (await this.#fetched(method, path, { token, body, keepalive })).json());
  }

  /** @returns {Promise<ImageBitmap>} a picture, decoded */
  async picture(token, name) {
    return this.#patiently(async () => {
      const response = await this.#fetched("GET", `images/${name}`, { token });
      return createImageBitmap(await response.blob());
    });
  }

  /** Make one attempt, and ignore its failure. */
  async once(method, path, token) {
    try {
      await this.#fetched(method, path, { token, body: {} });
    } catch {
      // the next request will notice
    }
  }

  async #fetched(method, path, { token, body, keepalive = false }) {
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(new URL(path, this.#root), {
      method,
      headers,
      body: body && JSON.stringify(body),
      keepalive,
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
    return response;
  }

  async #patiently(attempt) {
    let lost = false;
    try {
      for (let failed = 1; ; failed++) {
        try {
          return await attempt();
        } catch (error) {
          if (error instanceof Refused && !passing(error.status)) throw error;
          if (!lost && error.status !== 429) {
            lost = true;
            this.#count(+1);
          }
          await pause(backoff(failed));
        }
      }
    } finally {
      if (lost) this.#count(-1);
    }
  }

  #count(change) {
    this.#failing += change;
    this.#onLost(this.#failing > 0);
  }
}

/** Wait, at most until the browser is online again. */
function pause(milliseconds) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
  });
}
