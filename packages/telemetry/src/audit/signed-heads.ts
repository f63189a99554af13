// Audit: checkpoints, as who verifies a log meets them: in its records, and as Citadel remembers the last one of each chain.

/** How far a chain had come when it was signed. */
export interface SignedHead {
  readonly chain: string;
  readonly seq: number;
  readonly hash: string;
  readonly workload: string;
  readonly node: string;
  readonly file: string;
  readonly time: string;
}

/** What a signature says, which is not checked by that; undefined where it is none. */
export function readSignedHead(jws: unknown): SignedHead | undefined {
  if (typeof jws !== 'string') return undefined;
  const [, payload = ''] = jws.split('.');
  try {
    const head = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as SignedHead;
    const isHead = typeof head.chain === 'string' && typeof head.hash === 'string' && Number.isSafeInteger(head.seq);
    return isHead ? head : undefined;
  } catch {
    return undefined;
  }
}

/** Hashes of a chain's last records, since what a checkpoint signs is a little behind it. */
export class RecentHashes {
  readonly #hashes = new Map<number, string>();

  constructor(private readonly limit: number) {}

  add(seq: number, hash: string): void {
    this.#hashes.set(seq, hash);
    if (this.#hashes.size > this.limit) this.#hashes.delete(this.#hashes.keys().next().value as number);
  }

  get(seq: number): string | undefined {
    return this.#hashes.get(seq);
  }
}
