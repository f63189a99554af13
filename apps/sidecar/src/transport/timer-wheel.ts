// Time: one coarse wheel for every timeout of the data path, so that arming one costs two pointer writes and no allocation.

/** Who is told; `kind` says which of its timers it was. */
export interface TimerOwner {
  onTimer(kind: number): void;
}

/** A timer that is made once and armed many times. */
export class Timer {
  next: Timer | null = null;
  previous: Timer | null = null;
  dueTick = 0;

  constructor(
    readonly owner: TimerOwner,
    readonly kind: number,
  ) {}

  get armed(): boolean {
    return this.next !== null;
  }
}

const SLOTS = 1024;
const NOBODY: TimerOwner = { onTimer: () => {} };

/** Timers fire late by up to one tick, never early. Delays longer than a turn of the wheel cost one look each turn. */
export class TimerWheel {
  private readonly slots: Timer[] = [];
  private readonly originMs: number;
  private lastTick = 0;
  private armedTick = Number.POSITIVE_INFINITY;
  private wake: NodeJS.Timeout | undefined;
  private armedCount = 0;

  constructor(
    readonly tickMs = 10,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.originMs = nowMs();
    for (let index = 0; index < SLOTS; index++) {
      const head = new Timer(NOBODY, 0);
      head.next = head;
      head.previous = head;
      this.slots.push(head);
    }
  }

  /** How many timers are armed. */
  get size(): number {
    return this.armedCount;
  }

  /** Arms a timer `delayMs` from now; one that is armed already is moved. */
  schedule(timer: Timer, delayMs: number): void {
    if (timer.next !== null) this.unlink(timer);
    const due = Math.max(Math.ceil((this.nowMs() - this.originMs + delayMs) / this.tickMs), this.lastTick + 1);
    timer.dueTick = due;
    const head = this.slots[due % SLOTS] as Timer;
    const last = head.previous as Timer;
    last.next = timer;
    timer.previous = last;
    timer.next = head;
    head.previous = timer;
    this.armedCount++;
    if (due < this.armedTick) this.arm(due);
  }

  /** Disarms; nothing happens where it was not armed. */
  cancel(timer: Timer): void {
    if (timer.next !== null) this.unlink(timer);
  }

  /** Stops the wheel; armed timers never fire. */
  close(): void {
    clearTimeout(this.wake);
    this.wake = undefined;
    this.armedTick = 0;
  }

  private unlink(timer: Timer): void {
    const { next, previous } = timer as { next: Timer; previous: Timer };
    previous.next = next;
    next.previous = previous;
    timer.next = null;
    timer.previous = null;
    this.armedCount--;
  }

  private arm(tick: number): void {
    clearTimeout(this.wake);
    this.armedTick = tick;
    const delayMs = this.originMs + tick * this.tickMs - this.nowMs();
    this.wake = setTimeout(() => this.turn(), Math.max(0, Math.ceil(delayMs)));
    this.wake.unref();
  }

  /** Fires what is due and arms the next look. */
  private turn(): void {
    const nowTick = Math.floor((this.nowMs() - this.originMs) / this.tickMs);
    const first = Math.max(this.lastTick + 1, nowTick - SLOTS + 1);
    this.lastTick = nowTick;
    for (let tick = first; tick <= nowTick; tick++) this.fireSlot(this.slots[tick % SLOTS] as Timer, nowTick);
    this.armedTick = Number.POSITIVE_INFINITY;
    if (this.armedCount === 0) return;
    for (let ahead = 1; ahead <= SLOTS; ahead++) {
      const head = this.slots[(nowTick + ahead) % SLOTS] as Timer;
      if (head.next !== head) {
        this.arm(nowTick + ahead);
        return;
      }
    }
  }

  private fireSlot(head: Timer, nowTick: number): void {
    // A callback may arm and cancel any timer, so the walk starts again from the front after each one.
    for (let timer = head.next as Timer; timer !== head; ) {
      if (timer.dueTick > nowTick) {
        timer = timer.next as Timer;
        continue;
      }
      this.unlink(timer);
      timer.owner.onTimer(timer.kind);
      timer = head.next as Timer;
    }
  }
}
