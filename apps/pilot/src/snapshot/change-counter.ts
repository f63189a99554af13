// Snapshot: numbers what comes in, so that it can be said of a snapshot which changes it shows.

export class ChangeCounter {
  #newest = 0;

  /** Number of the newest change; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Notes that something changed. Returns the number of that change. */
  next(): number {
    this.#newest += 1;
    return this.#newest;
  }
}
