// Audit: checks that the records of files are complete, unchanged and in order, chain by chain.

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type AuditRecord, type ChainEnd, NO_HASH, readAuditLine } from './chain.js';

/** Something that is not as it was written. */
export interface AuditProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** What is known of a chain. */
export interface ChainReport extends ChainEnd {
  readonly workload: string | undefined;
  /** Requests and connections. */
  records: number;
  /** Sum of what `dropped` records count. */
  dropped: number;
  /** It has an end record: nothing can have been cut off. */
  ended: boolean;
}

export interface AuditReport {
  readonly chains: readonly ChainReport[];
  readonly problems: readonly AuditProblem[];
}

type OpenChain = { -readonly [Key in keyof ChainReport]: ChainReport[Key] };

/** Collects the records of files, in the order in which they were written; the oldest file comes first. */
export class AuditVerifier {
  readonly #chains = new Map<string, OpenChain & { file: string; line: number }>();
  readonly #problems: AuditProblem[] = [];
  readonly #starts: { readonly previous: ChainEnd; readonly file: string; readonly line: number }[] = [];

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
  report(openAllowed: boolean): AuditReport {
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
    const chains = [...this.#chains.values()].map(({ file: _file, line: _line, ...report }) => report);
    return { chains, problems: this.#problems };
  }

  #take(record: AuditRecord, file: string, line: number): void {
    const { chain: id, seq, hash, prev, type } = record;
    const chain = this.#chains.get(id);
    if (chain === undefined) this.#begin(record, file, line);
    else {
      if (chain.ended) this.#problem(file, line, `chain ${id} goes on after its end record`);
      else if (seq !== chain.seq + 1) this.#gap(chain, seq, file, line);
      else if (prev !== chain.hash) {
        this.#problem(file, line, `record ${seq} of chain ${id} does not follow the record ${chain.seq} that is there`);
      }
      // A record that is in the wrong place does not put the rest into the wrong.
      if (seq > chain.seq) Object.assign(chain, { seq, hash, file, line });
    }
    const known = this.#chains.get(id);
    if (known === undefined) return;
    if (type === 'request' || type === 'connection') known.records++;
    if (type === 'dropped') known.dropped += Number(record.count);
    if (type === 'end') this.#checkEnd(record, known, file, line);
  }

  #begin(record: AuditRecord, file: string, line: number): void {
    const { chain, seq, hash, prev, type } = record;
    const workload = typeof record.workload === 'string' ? record.workload : undefined;
    this.#chains.set(chain, { chain, seq, hash, workload, records: 0, dropped: 0, ended: false, file, line });
    if (type !== 'start' || seq !== 1 || prev !== NO_HASH) {
      this.#problem(file, line, `chain ${chain} begins with record ${seq}: what is before it is missing`);
    }
    if (isChainEnd(record.previous)) this.#starts.push({ previous: record.previous, file, line });
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

function isChainEnd(value: unknown): value is ChainEnd {
  if (value === null || typeof value !== 'object') return false;
  const { chain, seq, hash } = value as Record<string, unknown>;
  return typeof chain === 'string' && typeof seq === 'number' && typeof hash === 'string';
}
