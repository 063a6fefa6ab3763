/** Prefetching of pictures, decoded ahead of their trials. */

const ABREAST = 4;
const SCORED_AHEAD = 10;

/** Number of pairs to decode before `trial`: the rest of practice, and the first scored ones. */
export function gate(trial) {
  return (trial.phase === "practice" ? trial.of - trial.number + 1 : 0) + SCORED_AHEAD;
}

export class Pictures {
  #load;
  #wanted = []; // names, in the order of fetching
  #known = new Map(); // name: {promise, resolve, reject}
  #decoded = new Set();
  #underway = 0;

  /** @param {(name: string) => Promise<ImageBitmap>} load fetches and decodes */
  constructor(load) {
    this.#load = load;
  }

  /** Fetch the pictures of these trials, in an order that does not reveal which are real. */
  want(trials) {
    for (const trial of trials) {
      for (const name of [trial.left, trial.right]) {
        if (this.#known.has(name)) continue;
        const entry = pending();
        entry.promise.catch(() => {}); // reported to the trial that needs it
        this.#known.set(name, entry);
        this.#wanted.push(name);
      }
    }
    while (this.#underway < ABREAST && this.#wanted.length) this.#fetch();
  }

  /** @returns {Promise<[ImageBitmap, ImageBitmap]>} left and right, decoded */
  pair(trial) {
    this.want([trial]);
    return Promise.all([trial.left, trial.right].map((name) => this.#known.get(name).promise));
  }

  /** Share of these trials' pictures that are decoded, 0 to 1. */
  share(trials) {
    const names = trials.flatMap(({ left, right }) => [left, right]);
    return names.filter((name) => this.#decoded.has(name)).length / names.length;
  }

  /** Wait until the pictures of these trials are decoded. @param {(share: number) => void} onProgress */
  async ready(trials, onProgress) {
    onProgress(this.share(trials));
    await Promise.all(trials.map((trial) => this.pair(trial).then(() => onProgress(this.share(trials)))));
  }

  /** Free the pictures of a finished trial. */
  release(trial) {
    for (const name of [trial.left, trial.right]) {
      this.#wanted = this.#wanted.filter((wanted) => wanted !== name);
      this.#known.get(name)?.promise.then((bitmap) => bitmap.close(), () => {});
      this.#known.delete(name);
      this.#decoded.delete(name);
    }
  }

  async #fetch() {
    const name = this.#wanted.shift();
    const { resolve, reject } = this.#known.get(name);
    this.#underway++;
    try {
      const bitmap = await this.#load(name);
      this.#decoded.add(name);
      resolve(bitmap);
    } catch (error) {
      reject(error);
    }
    this.#underway--;
    if (this.#wanted.length) this.#fetch();
  }
}

function pending() {
  let resolve, reject;
  const promise = new Promise((...ends) => ([resolve, reject] = ends));
  return { promise, resolve, reject };
}
