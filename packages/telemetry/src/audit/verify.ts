// Audit: checks that the records of files are complete, unchanged and in order, chain by chain.

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type AuditRecord, type ChainEnd, NO_HASH, readAuditLine } from './chain.js';
import { RecentHashes, readSignedHead, type SignedHead } from './signed-heads.js';

/** Something that is not as it was written. */
export interface AuditProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** What is known of a chain. */
export interface ChainReport extends ChainEnd {
  readonly workload: string | undefined;
  /** Where it was written, as its start says. */
  readonly node: string | undefined;
  readonly writtenTo: string | undefined;
  readonly began: string | undefined;
  /** Requests and connections. */
  records: number;
  /** Sum of what `dropped` records count. */
  dropped: number;
  /** It has an end record: nothing can have been cut off. */
  ended: boolean;
  /** Number of the last record that a good signature covers; 0 where there is none, or where signatures were not checked. */
  signedSeq: number;
  /** Records behind it, without those that are checkpoints. */
  unsigned: number;
}

export interface AuditReport {
  readonly chains: readonly ChainReport[];
  readonly problems: readonly AuditProblem[];
}

/** What Citadel says of checkpoints. */
export interface PublishedHeads {
  /** Resolves to what is wrong with a signature. */
  readonly verify: (jws: string) => Promise<string | undefined>;
  /** The last checkpoint of each chain. */
  readonly chains: readonly SignedHead[];
}

type OpenChain = { -readonly [Key in keyof ChainReport]: ChainReport[Key] };
interface Place {
  readonly file: string;
  readonly line: number;
}
type KnownChain = OpenChain & { file: string; line: number; readonly hashes: RecentHashes; lastEntry: number };

/** Above what a sidecar lets a checkpoint be behind. */
const REMEMBERED_HASHES = 131_072;

/** Collects the records of files, in the order in which they were written; the oldest file comes first. */
export class AuditVerifier {
  readonly #chains = new Map<string, KnownChain>();
  readonly #problems: AuditProblem[] = [];
  readonly #starts: (Place & { readonly previous: ChainEnd })[] = [];
  readonly #checkpoints: (Place & { readonly jws: string; readonly head: SignedHead; readonly chain: KnownChain })[] =
    [];
  readonly #published: ReadonlyMap<string, SignedHead>;

  /** @param published left out: signatures are not checked */
  constructor(private readonly published?: PublishedHeads) {
    this.#published = new Map(published?.chains.map((head) => [head.chain, head]));
  }

  line(file: string, line: number, text: string): AuditRecord | undefined {
    const record = readAuditLine(text);
    if ('problem' in record) {
      this.#problem(file, line, record.problem as string);
      return undefined;
    }
    // A crash cut the line before off, as the next process found; what it held is not known to have been whole.
    const before = this.#problems.at(-1);
    if (record.type === 'start' && record.torn === true && before?.file === file && before.line === line - 1) {
      this.#problems.pop();
    }
    this.#take(record, file, line);
    return record;
  }

  async file(file: string, each?: (record: AuditRecord, line: number) => void): Promise<void> {
    let number = 0;
    const input = createReadStream(file, 'utf8');
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      const record = this.line(file, number, text);
      if (record !== undefined) each?.(record, number);
    }
  }

  /** @param openAllowed chains may be without an end record, since their processes run */
  async report(openAllowed: boolean): Promise<AuditReport> {
    await this.#checkSignatures();
    this.#compareWithPublished();
    for (const { previous, file, line } of this.#starts) this.#checkPrevious(previous, file, line);
    if (!openAllowed) {
      const succeeded = new Set(this.#starts.map(({ previous }) => previous.chain));
      for (const chain of this.#chains.values()) {
        // What the next process found in the file was compared above.
        if (chain.ended || succeeded.has(chain.chain)) continue;
        const message = `chain ${chain.chain} has no end record after record ${chain.seq}: its process runs, was killed, or the tail was cut off`;
        this.#problem(chain.file, chain.line, message);
      }
    }
    const chains = [...this.#chains.values()].map(
      ({ file: _file, line: _line, hashes: _hashes, lastEntry, ...report }): ChainReport => ({
        ...report,
        unsigned: Math.max(0, lastEntry - report.signedSeq),
      }),
    );
    return { chains, problems: this.#problems };
  }

  #take(record: AuditRecord, file: string, line: number): void {
    const { chain: id, seq, hash, prev, type } = record;
    const chain = this.#chains.get(id);
    if (chain === undefined) this.#begin(record, file, line);
    else {
      if (chain.ended && type !== 'checkpoint') this.#problem(file, line, `chain ${id} goes on after its end record`);
      else if (seq !== chain.seq + 1) this.#gap(chain, seq, file, line);
      else if (prev !== chain.hash) {
        this.#problem(file, line, `record ${seq} of chain ${id} does not follow the record ${chain.seq} that is there`);
      }
      // A record that is in the wrong place does not put the rest into the wrong.
      if (seq > chain.seq) Object.assign(chain, { seq, hash, file, line });
    }
    const known = this.#chains.get(id);
    if (known === undefined) return;
    known.hashes.add(seq, hash);
    if (type === 'checkpoint') this.#takeCheckpoint(record, known, file, line);
    else if (seq > known.lastEntry) known.lastEntry = seq;
    const published = this.#published.get(id);
    if (published?.seq === seq && published.hash !== hash) {
      this.#problem(file, line, `record ${seq} of chain ${id} is not the one that Citadel has signed`);
    }
    if (type === 'request' || type === 'connection') known.records++;
    if (type === 'dropped') known.dropped += Number(record.count);
    if (type === 'end') this.#checkEnd(record, known, file, line);
  }

  #begin(record: AuditRecord, file: string, line: number): void {
    const { chain, seq, hash, prev, type } = record;
    this.#chains.set(chain, {
      ...{ chain, seq, hash, file, line },
      workload: textOf(record.workload),
      node: textOf(record.node),
      writtenTo: textOf(record.file),
      began: textOf(record.time),
      ...{ records: 0, dropped: 0, ended: false, signedSeq: 0, unsigned: 0, lastEntry: 0 },
      hashes: new RecentHashes(REMEMBERED_HASHES),
    });
    if (type !== 'start' || seq !== 1 || prev !== NO_HASH) {
      this.#problem(file, line, `chain ${chain} begins with record ${seq}: what is before it is missing`);
    }
    if (isChainEnd(record.previous)) this.#starts.push({ previous: record.previous, file, line });
  }

  /** What a checkpoint says must be what is there; whether it is Citadel that says so is looked at last. */
  #takeCheckpoint(record: AuditRecord, chain: KnownChain, file: string, line: number): void {
    const head = readSignedHead(record.jws);
    const fault = checkpointFault(head, chain);
    if (head !== undefined && fault === undefined) {
      this.#checkpoints.push({ file, line, jws: record.jws as string, head, chain });
    } else this.#problem(file, line, `the checkpoint in record ${record.seq} of chain ${chain.chain} ${fault}`);
  }

  async #checkSignatures(): Promise<void> {
    if (this.published === undefined) return;
    for (const { file, line, jws, head, chain } of this.#checkpoints.splice(0)) {
      const fault = await this.published.verify(jws);
      if (fault === undefined) chain.signedSeq = Math.max(chain.signedSeq, head.seq);
      else this.#problem(file, line, `record ${head.seq} of chain ${chain.chain} is not signed by Citadel: ${fault}`);
    }
  }

  /** What Citadel has signed and is not there was taken away. */
  #compareWithPublished(): void {
    for (const head of this.#published.values()) {
      const chain = this.#chains.get(head.chain);
      if (chain === undefined) this.#missLater(head);
      else if (chain.seq >= head.seq) chain.signedSeq = Math.max(chain.signedSeq, head.seq);
      else {
        const message = `chain ${head.chain} was cut off: Citadel has signed its record ${head.seq} at ${head.time}, and it ends with record ${chain.seq}`;
        this.#problem(chain.file, chain.line, message);
      }
    }
  }

  /** A chain of the same log must be there, where it is younger than one that is. */
  #missLater({ chain, workload, node, file, seq, time }: SignedHead): void {
    const older = [...this.#chains.values()].filter(
      (known) =>
        known.workload === workload && known.node === node && known.writtenTo === file && (known.began ?? '') < time,
    );
    const last = older.at(-1);
    if (last === undefined) return;
    const message = `chain ${chain} of the same log is missing as a whole: Citadel has signed its record ${seq} at ${time}`;
    this.#problem(last.file, last.line, message);
  }

  #gap(chain: ChainEnd, seq: number, file: string, line: number): void {
    const message =
      seq <= chain.seq
        ? `record ${seq} of chain ${chain.chain} comes after record ${chain.seq}: the order was changed, or it is there twice`
        : `${seq - chain.seq - 1} records of chain ${chain.chain} are missing: ${chain.seq} is followed by ${seq}`;
    this.#problem(file, line, message);
  }

  #checkEnd(record: AuditRecord, chain: OpenChain, file: string, line: number): void {
    chain.ended = true;
    if (record.records === chain.records && record.dropped === chain.dropped) return;
    const message = `chain ${chain.chain} ends with ${record.records} records and ${record.dropped} dropped; there are ${chain.records} and ${chain.dropped}`;
    this.#problem(file, line, message);
  }

  /** The next process wrote down how the chain before it stood: what is gone since then shows. */
  #checkPrevious(previous: ChainEnd, file: string, line: number): void {
    const chain = this.#chains.get(previous.chain);
    if (chain === undefined) {
      this.#problem(file, line, `chain ${previous.chain}, which was before this one, is missing as a whole`);
    } else if (chain.seq !== previous.seq || chain.hash !== previous.hash) {
      const message = `chain ${previous.chain} ended with record ${previous.seq} when this one began; now it ends with record ${chain.seq}${chain.seq === previous.seq ? ' of another hash' : ''}`;
      this.#problem(chain.file, chain.line, message);
    }
  }

  #problem(file: string, line: number, message: string): void {
    this.#problems.push({ file, line, message });
  }
}

/** Why a checkpoint is none of this chain; undefined where it is. */
function checkpointFault(head: SignedHead | undefined, chain: KnownChain): string | undefined {
  if (head === undefined) return 'cannot be read';
  if (head.chain !== chain.chain) return `is of chain ${head.chain}`;
  if (chain.hashes.get(head.seq) !== head.hash) return `has another record ${head.seq} than is there`;
  const isOwn = chain.workload === undefined || head.workload === chain.workload;
  return isOwn ? undefined : `was signed for ${head.workload}`;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isChainEnd(value: unknown): value is ChainEnd {
  if (value === null || typeof value !== 'object') return false;
  const { chain, seq, hash } = value as Record<string, unknown>;
  return typeof chain === 'string' && typeof seq === 'number' && typeof hash === 'string';
}
