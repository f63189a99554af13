// Exchange: asks the rate limit services of a chain about a request, one after the other, while the request is held back.

import { ASK_BYTES, ASK_REPLY, type Core, LISTENER_ASKS } from '@lateen/filters-wasm';
import { joinLines, readLimitAnswer } from '../../limit-service/limit-answer.js';
import { encodeLimitQuestion } from '../../limit-service/limit-question.js';
import type { LimitService } from '../../limit-service/limit-service.js';
import type { DataPath } from '../../transport/data-path.js';
import { type CallOutcome, UnaryCall } from '../../upstream/calls/unary-call.js';
import type { ExchangeClient } from '../exchange-client.js';
import type { LocalReply } from '../local-reply.js';

/** So many calls are under way at a time, for all requests together; beyond, it is as if a service did not answer. */
const MAX_CALLS = 4_096;

/** The request that is asked about. */
export interface InquiringRequest {
  /**
   * All services have let it through, or one has not.
   *
   * @param requestLines header lines for the upstream
   * @param responseLines header lines for the client
   * @param refusedBy index of the filter whose refusal it is, -1 = none
   */
  afterInquiry(reply: LocalReply | null, requestLines: string, responseLines: string, refusedBy: number): void;
}

/** Policy record of a refusal by the filter `index`. */
export function limitReplyPolicy({ i32 }: Core, listenerRecord: number, index: number): number {
  const list = listenerRecord + i32[(listenerRecord + LISTENER_ASKS) >> 2]!;
  return listenerRecord + i32[(list + index * ASK_BYTES + ASK_REPLY) >> 2]!;
}

interface Question {
  readonly index: number;
  readonly service: LimitService;
  readonly message: Uint8Array;
}

/** One for each exchange that ever had a service to ask, used again for each of its requests. */
export class LimitInquiry implements CallOutcome {
  private questions: Question[] = [];
  private call: UnaryCall | null = null;
  private cluster = '';
  private requestLines = '';
  private responseLines = '';

  constructor(
    private readonly path: DataPath,
    private readonly request: InquiringRequest,
  ) {}

  /**
   * REQ_* and ROUTE_* are filled: reads what the services of the chain are to be asked; false where that is nothing.
   *
   * @param cluster where the request goes
   * @param aborted a fault answers it
   * @param preflight the filter for other origins does
   */
  describe(client: ExchangeClient, cluster: string, aborted: boolean, preflight: boolean): boolean {
    const { core, ownCluster } = this.path;
    this.questions = [];
    this.cluster = cluster;
    const { limitServices, listenerRecord } = client.chain;
    limitServices.forEach((service, index) => {
      if ((aborted && service.afterFaults) || (preflight && service.afterCors)) return;
      const count = core.wasm.describeLimits(listenerRecord, index, client.record, client.secure);
      if (count === 0) return;
      const names = { cluster, ownCluster, domain: service.domain };
      this.questions.push({ index, service, message: encodeLimitQuestion(core, count, names) });
    });
    return this.questions.length > 0;
  }

  /** Asks; the request is told what came of it, perhaps before this returns. */
  begin(): void {
    this.requestLines = '';
    this.responseLines = '';
    this.next();
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.questions = [];
    const { call } = this;
    this.call = null;
    if (call === null) return;
    this.path.limitServices.active--;
    call.cancel();
  }

  onCallAnswered(message: Uint8Array): void {
    const { service, index } = this.asked();
    const answer = readLimitAnswer(message, service.tellsLimits, service.marksRefusals);
    if (answer === undefined) {
      this.onFailure(service, 'an answer that is no RateLimitResponse');
      return;
    }
    const counts = this.path.limitServices.of(this.cluster, service.statPrefix);
    this.requestLines = joinLines(this.requestLines, answer.requestLines);
    // Answers go through the filters the other way round.
    this.responseLines = joinLines(answer.responseLines, this.responseLines);
    if (!answer.over) {
      counts.ok++;
      this.next();
      return;
    }
    counts.overLimit++;
    this.end({ ...service.overReply, body: answer.body }, index);
  }

  onCallFailed(reason: string): void {
    this.onFailure(this.asked().service, reason);
  }

  /** The question under way, which is answered now. */
  private asked(): Question {
    if (this.call !== null) this.path.limitServices.active--;
    this.call = null;
    return this.questions.shift() as Question;
  }

  private onFailure(service: LimitService, reason: string): void {
    const counts = this.path.limitServices.of(this.cluster, service.statPrefix);
    counts.error++;
    this.path.log('debug', 'a rate limit service did not answer', { cluster: service.cluster, reason });
    if (service.deniesOnFailure) {
      this.end(service.failureReply, -1);
      return;
    }
    counts.failureModeAllowed++;
    this.next();
  }

  private next(): void {
    const [question] = this.questions;
    if (question === undefined) {
      this.end(null, -1);
      return;
    }
    const { path } = this;
    if (path.limitServices.active >= MAX_CALLS) {
      this.onCallFailed(`${MAX_CALLS} calls are under way`);
      return;
    }
    path.limitServices.active++;
    this.call = new UnaryCall(path, question.service, question.message, this);
    this.call.begin();
  }

  private end(reply: LocalReply | null, refusedBy: number): void {
    this.questions = [];
    this.request.afterInquiry(reply, this.requestLines, this.responseLines, refusedBy);
  }
}
