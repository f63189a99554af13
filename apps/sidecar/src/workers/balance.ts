// Workers: evens out who has the connections. The kernel gives a burst of them to whichever process is awake, all of it to one;
// who has more than another one gives it the next, before a byte of it is read.

/** So many more than another process: what comes and goes in moments is not worth a message. */
const SLACK = 4;
/** Given and not said to be received: a process that stands still is given no more. */
const MAX_UNDER_WAY = 16;

interface Other {
  /** Connections that it had when it told last, and those given since. */
  count: number;
  given: number;
  received: number;
}

export class Balance {
  readonly #others = new Map<number, Other>();

  /** @param own connections of this process */
  constructor(private readonly own: () => number) {}

  /** @param received of those that this process has ever given it */
  told(index: number, count: number, received: number): void {
    const other = this.#others.get(index) ?? { count: 0, given: 0, received: 0 };
    other.received = received;
    other.count = count + other.given - received;
    this.#others.set(index, other);
  }

  forget(index: number): void {
    this.#others.delete(index);
  }

  /** Who is to have the next connection, and is taken to have it; undefined: this process. */
  choose(): number | undefined {
    const own = this.own();
    if (own <= SLACK) return undefined;
    let least: [number, Other] | undefined;
    for (const each of this.#others) {
      const [, { count, given, received }] = each;
      if (given - received < MAX_UNDER_WAY && count < (least?.[1].count ?? own - SLACK)) least = each;
    }
    if (least === undefined) return undefined;
    const [index, other] = least;
    other.count++;
    other.given++;
    return index;
  }
}

const TOLD_EVERY_MS = 100;

/** Tells how many connections this process has, when that has changed. */
export class CountTeller {
  #told = 0;
  #soon = false;
  readonly #timer: NodeJS.Timeout;

  constructor(
    private readonly count: () => number,
    private readonly tell: (count: number) => void,
  ) {
    this.#timer = setInterval(() => {
      if (this.count() !== this.#told) this.#tellNow();
    }, TOLD_EVERY_MS).unref();
  }

  /** In this turn of the event loop, once. */
  soon(): void {
    if (this.#soon) return;
    this.#soon = true;
    setImmediate(() => this.#tellNow());
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tellNow(): void {
    this.#soon = false;
    this.#told = this.count();
    this.tell(this.#told);
  }
}
