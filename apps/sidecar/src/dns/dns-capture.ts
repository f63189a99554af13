// DNS: what the application asks is answered here: names of the mesh from Pilot's table, everything else by the pod's own
// name servers. The table that was good last is kept on disk.

import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { writeFileAtomic } from '@lateen/identity';
import { NAME_TABLE_TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { type NameTable, NameTableSchema } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import type { ResourceProblem, TypeSubscription } from '@lateen/xds-stream';
import { type DecodedPacket, decode, encode } from 'dns-packet';
import { NameServers, SearchDomains } from '../upstream/discovery/system-names.js';
import { type DnsServer, startDnsServer } from './dns-server.js';
import { Forwarder } from './forwarder.js';
import { encodeForUdp, failure, isQuestion, localAnswer, localQuestion, RCODE } from './local-answer.js';
import { NameIndex } from './name-index.js';

export interface DnsCaptureOptions {
  /** Of the pod. */
  readonly namespace: string;
  readonly stateDir: string;
  /** The first one has to be there. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly resolvConf?: string;
  /** Of the servers that are asked; tests have another one. */
  readonly serverPort?: number;
  readonly log: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
}

/** Of questions. */
export interface DnsCounts {
  total: number;
  /** Answered from the table. */
  local: number;
  /** That cannot be read. */
  malformed: number;
}

const RESOLV_CONF = '/etc/resolv.conf';
const DNS_PORT = 53;
const FIRST_TABLE_MS = 15_000;
const FILE_NAME = 'name-table.bin';

export class DnsCapture {
  readonly counts: DnsCounts = { total: 0, local: 0, malformed: 0 };
  readonly forwarder: Forwarder;
  private index: NameIndex | undefined;
  private server: DnsServer | undefined;
  private readonly searched: SearchDomains;
  private readonly file: string;
  private startedMs = performance.now();
  private saving: Promise<void> = Promise.resolve();

  constructor(private readonly options: DnsCaptureOptions) {
    const resolvConf = options.resolvConf ?? RESOLV_CONF;
    this.searched = new SearchDomains(resolvConf);
    this.file = join(options.stateDir, FILE_NAME);
    const servers = new NameServers(resolvConf);
    const port = options.serverPort ?? DNS_PORT;
    this.forwarder = new Forwarder({ servers: () => servers.addresses.map((address) => ({ address, port })) });
  }

  /** Names that are known, in all their forms; undefined before there is a table. */
  get names(): number | undefined {
    return this.index?.size;
  }

  /** There is no table, and one may still come: a control plane that has none sends none. */
  isLate(): boolean {
    return this.index === undefined && performance.now() - this.startedMs < FIRST_TABLE_MS;
  }

  /** Takes the table that was kept, and listens. @throws StartError */
  async start(): Promise<readonly string[]> {
    this.startedMs = performance.now();
    await this.load();
    const { addresses, port } = this.options;
    this.server = await startDnsServer(addresses, port, (message, stream) => this.answer(message, stream));
    return this.server.addresses;
  }

  async close(): Promise<void> {
    await this.server?.close();
    await this.saving;
  }

  /** How the table comes. */
  get subscription(): TypeSubscription<NameTable> {
    return {
      typeUrl: NAME_TABLE_TYPE_URL,
      mode: 'wildcard',
      decode: (any, name) => ({ name: name ?? '', value: unpackAny(any, NameTableSchema) }),
      onUpdate: ({ upserts, removed }) => {
        const [entry] = upserts.slice(-1);
        if (entry === undefined) {
          if (removed.length > 0) this.take(fromBinary(NameTableSchema, new Uint8Array(0)));
          return undefined;
        }
        const problems = findProblems(entry.value, entry.name);
        if (problems.length === 0) this.take(entry.value);
        return problems;
      },
    };
  }

  /** Puts a table in effect, and keeps it. */
  take(table: NameTable): void {
    this.index = new NameIndex(table, this.options.namespace);
    const bytes = toBinary(NameTableSchema, table);
    this.saving = this.saving
      .then(() => writeFileAtomic(this.file, bytes, { mode: 0o600 }))
      .catch((error: Error) => this.options.log('warn', 'the table of names is not kept', { reason: error.message }));
  }

  /** The answer to one message of a client. */
  async answer(message: Uint8Array, stream: boolean): Promise<Uint8Array | undefined> {
    this.counts.total++;
    let query: DecodedPacket;
    try {
      query = decode(Buffer.from(message));
      if (query.type !== 'query') throw new Error('it is no question');
    } catch {
      this.counts.malformed++;
      // An answer to an answer would be answered again; what has no id cannot be answered.
      return isQuestion(message) ? failure(message, RCODE.formatError) : undefined;
    }
    const question = localQuestion(query);
    const found = question && this.index?.find(question.name, this.searched.domains);
    try {
      if (question !== undefined && found !== undefined) {
        const reply = localAnswer(query, question, found, this.counts.local++);
        return stream ? encode(reply) : encodeForUdp(query, reply);
      }
      return await this.forwarder.ask(message, stream);
    } catch (error) {
      const name = question?.name ?? query.questions?.[0]?.name;
      this.options.log('warn', 'a name cannot be looked up', { name, reason: (error as Error).message });
      return failure(message, RCODE.serverFailure);
    }
  }

  private async load(): Promise<void> {
    try {
      const table = fromBinary(NameTableSchema, await readFile(this.file));
      const [problem] = findProblems(table, '');
      if (problem !== undefined) throw new Error(problem.message);
      this.index = new NameIndex(table, this.options.namespace);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.options.log('warn', 'the table of names that was kept is not used', { reason: (error as Error).message });
    }
  }
}

function findProblems({ table }: NameTable, resourceName: string): ResourceProblem[] {
  return Object.entries(table).flatMap(([host, { ips }]) =>
    ips
      .filter((address) => isIP(address) === 0)
      .map((address) => ({
        resourceName,
        path: `table[${JSON.stringify(host)}].ips`,
        message: `${JSON.stringify(address)} is not an IP address`,
      })),
  );
}
