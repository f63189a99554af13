// Snapshot: joins changes that come close together, so that one apply of many documents is one push.

export interface DebounceOptions {
  /** Acts once nothing changed for this long … */
  readonly quietMs: number;
  /** … and at the latest this long after the first change. */
  readonly maxMs: number;
  /** @param firstChangeMs when the first of the joined changes came (ms since the epoch) */
  readonly act: (firstChangeMs: number) => void;
}

export class Debounce {
  private firstChangeMs: number | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: DebounceOptions) {}

  /** Something changed. */
  changed(): void {
    const nowMs = Date.now();
    this.firstChangeMs ??= nowMs;
    const leftMs = this.firstChangeMs + this.options.maxMs - nowMs;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), Math.max(0, Math.min(this.options.quietMs, leftMs)));
  }

  /** Acts now if something changed. */
  flush(): void {
    clearTimeout(this.timer);
    const firstChangeMs = this.firstChangeMs;
    if (firstChangeMs === undefined) return;
    this.firstChangeMs = undefined;
    this.options.act(firstChangeMs);
  }

  /** Forgets what changed. */
  stop(): void {
    clearTimeout(this.timer);
    this.firstChangeMs = undefined;
  }
}
