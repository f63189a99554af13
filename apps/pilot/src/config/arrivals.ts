// Configuration: with which change each version of Galley's came, so that it can be told when a version is everywhere.

interface Arrival {
  readonly version: number;
  readonly change: number;
}

/** Whoever asks for an older version than these is told the change of the oldest of them, which holds it too. */
const MAX_ARRIVALS = 256;

/** Of each kind, by its type URL. */
export class Arrivals {
  private readonly byType = new Map<string, Arrival[]>();

  /**
   * Notes that everything of a kind up to this version is held.
   * @param version as Galley gives it, a number that rises with each change of its store
   * @param change number of the change with which the content of the kind became what it is
   */
  note(typeUrl: string, version: string, change: number): void {
    const number = Number(version);
    if (version === '' || !Number.isSafeInteger(number)) return;
    const known = this.byType.get(typeUrl) ?? [];
    // A Galley whose state was deleted counts from the beginning.
    const last = known.at(-1);
    const arrivals = last !== undefined && last.version > number ? [] : known;
    arrivals.push({ version: number, change });
    if (arrivals.length > MAX_ARRIVALS) arrivals.shift();
    this.byType.set(typeUrl, arrivals);
  }

  /** The change that brought this version of a kind, or one after it; undefined while there was none. */
  changeOf(typeUrl: string, version: number): number | undefined {
    return this.byType.get(typeUrl)?.find((arrival) => arrival.version >= version)?.change;
  }

  /** The change that brought the newest version of a kind. */
  newestOf(typeUrl: string): number | undefined {
    return this.byType.get(typeUrl)?.at(-1)?.change;
  }
}
