// Transport: numbers for "who talks to whom, and how", the part of a metric's key that belongs to a connection.

export interface SecurityPair {
  /** SPIFFE ids or URI names, empty where unknown. */
  readonly source: string;
  readonly destination: string;
  readonly mutualTls: boolean;
}

/** Pairs are never forgotten; a mesh has few of them, and beyond the limit all further ones count as unknown. */
export class SecurityPairs {
  private readonly numbers = new Map<string, number>();
  private readonly pairs: SecurityPair[] = [{ source: '', destination: '', mutualTls: false }];

  constructor(private readonly limit = 65_536) {}

  /** 0 stands for a connection without TLS and for what exceeds the limit. */
  idOf(source: string, destination: string, mutualTls: boolean): number {
    const key = `${mutualTls ? 'm' : '-'} ${source} ${destination}`;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    if (this.pairs.length >= this.limit) return 0;
    const number = this.pairs.push({ source, destination, mutualTls }) - 1;
    this.numbers.set(key, number);
    return number;
  }

  pair(id: number): SecurityPair | undefined {
    return this.pairs[id];
  }
}
