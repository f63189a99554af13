// Tests: a DNS server on a loopback port whose answers a test sets and changes.

import { createSocket } from 'node:dgram';
import { type Answer, decode, encode } from 'dns-packet';

export interface DnsRecords {
  readonly addresses: readonly string[];
  readonly ttlSeconds?: number;
}

/** What is said about a name: records, no such name, or a server that cannot tell. */
export type DnsAnswer = DnsRecords | 'NXDOMAIN' | 'SERVFAIL';

export interface DnsServer {
  readonly port: number;
  /** `TYPE NAME` of every question so far. */
  readonly questions: readonly string[];
  set(name: string, answer: DnsAnswer): void;
  close(): Promise<void>;
}

const RCODES = { NXDOMAIN: 3, SERVFAIL: 2 } as const;
const AUTHORITATIVE_ANSWER = 1 << 10;

/** Starts a server; a name that was not set does not exist. */
export async function startDnsServer(): Promise<DnsServer> {
  const answers = new Map<string, DnsAnswer>();
  const questions: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (message, peer) => {
    const { id, questions: [question] = [] } = decode(message);
    if (question === undefined) return;
    const { name, type } = question;
    questions.push(`${type} ${name}`);
    const answer = answers.get(name) ?? 'NXDOMAIN';
    const records: Answer[] =
      typeof answer === 'string'
        ? []
        : answer.addresses
            .filter((address) => (type === 'AAAA') === address.includes(':'))
            .map((data) => ({ type: type === 'AAAA' ? 'AAAA' : 'A', name, ttl: answer.ttlSeconds ?? 60, data }));
    const flags = AUTHORITATIVE_ANSWER | (typeof answer === 'string' ? RCODES[answer] : 0);
    const reply = { type: 'response' as const, ...(id === undefined ? {} : { id }), flags, questions: [question] };
    socket.send(encode({ ...reply, answers: records }), peer.port, peer.address);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', resolve);
  });
  return {
    port: socket.address().port,
    questions,
    set: (name, answer) => answers.set(name, answer),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}
