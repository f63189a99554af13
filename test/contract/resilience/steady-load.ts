// Resilience, step 2: requests at a steady rate, whatever becomes of them.

import { Agent, request } from 'node:http';
import { REQUEST_ID } from '../../conformance/mesh/echo-pods.js';

export interface AnsweredRequest {
  readonly id: string;
  /** 0: the connection failed or was cut. */
  readonly status: number;
}

export interface LoadResult {
  readonly answers: readonly AnsweredRequest[];
  /** Requests a second that were really sent. */
  readonly rate: number;
}

const TICK_MS = 10;
let ids = 0;

function send(agent: Agent, { host, port }: { host: string; port: number }): Promise<AnsweredRequest> {
  const id = `request-${++ids}`;
  return new Promise((resolve) => {
    const sent = request({ agent, host, port, path: '/', headers: { host: 'web', [REQUEST_ID]: id } }, (response) => {
      response.resume();
      response.once('end', () => resolve({ id, status: response.statusCode ?? 0 }));
      response.once('error', () => resolve({ id, status: 0 }));
    });
    sent.once('error', () => resolve({ id, status: 0 }));
    sent.end();
  });
}

/** Sends `perSecond` requests for so many seconds and waits for all answers; `during` runs beside it. */
export async function steadyLoad(
  target: { readonly host: string; readonly port: number },
  perSecond: number,
  seconds: number,
  during: () => Promise<void> | void = () => {},
): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: 512 });
  const pending: Promise<AnsweredRequest>[] = [];
  const total = perSecond * seconds;
  const startMs = performance.now();
  const beside = Promise.resolve().then(during);
  while (pending.length < total) {
    // A late timer does not lose requests; nor does it send more than a second's at once.
    const due = Math.min(
      Math.ceil(((performance.now() - startMs) * perSecond) / 1000),
      total,
      pending.length + perSecond,
    );
    while (pending.length < due) pending.push(send(agent, target));
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  const rate = (pending.length * 1000) / (performance.now() - startMs);
  const answers = await Promise.all(pending);
  await beside;
  agent.destroy();
  return { answers, rate };
}

export function countWhere(answers: readonly AnsweredRequest[], matches: (status: number) => boolean): number {
  return answers.filter(({ status }) => matches(status)).length;
}
