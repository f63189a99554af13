// Exchange: asks the authorizers of a chain about a request (ext_authz), one after the other, while the request is held back.

import * as L from '@lateen/filters-wasm';
import { RequestHead } from '@lateen/jwt';
import { type AskedRequest, readAskedRequest } from '../../external-authorization/asked-request.js';
import { type Authorizer, asks, type FirstCheck } from '../../external-authorization/authorizer.js';
import { MAX_CALLS } from '../../external-authorization/authorizer-counts.js';
import { BodyGatherer } from '../../external-authorization/body-gatherer.js';
import { readCheckAnswer } from '../../external-authorization/check-answer.js';
import { requestQuestion } from '../../external-authorization/check-request.js';
import {
  changeRequest,
  denialLines,
  type HeaderChange,
  isValidHeader,
  isValidParameter,
} from '../../external-authorization/header-change.js';
import { httpQuestion, readHttpAnswer } from '../../external-authorization/http-check.js';
import { changesRequest, type Verdict } from '../../external-authorization/verdict.js';
import type { RbacNotes } from '../../rbac/rbac-filter.js';
import { accessRefusal } from '../../rbac/request-access.js';
import type { DataPath } from '../../transport/data-path.js';
import { type HttpAnswer, HttpCall } from '../../upstream/calls/http-call.js';
import { UnaryCall } from '../../upstream/calls/unary-call.js';
import type { ExchangeClient } from '../exchange-client.js';
import { HEAD_TOO_LARGE, type LocalReply } from '../local-reply.js';
import { FLAG } from '../response-flags.js';
import { headBytes, headSource } from './token-check.js';

/** The request that is asked about. */
export interface CheckedRequest {
  /** All let it through: it can be restored. */
  onAllowed(): void;
  /**
   * @param headLines header lines for the client, each with its end
   * @param counts as an answer of the cluster that the request is for, as in Envoy
   */
  onRefused(reply: LocalReply, headLines: string, counts: boolean): void;
}

/** Envoy's namespace of what authorizers say. */
const METADATA = 'envoy.filters.http.ext_authz';
const MARK = 'x-envoy-auth-failure-mode-allowed';
const TOO_LARGE: LocalReply = {
  status: 413,
  flags: 0,
  body: 'Payload Too Large',
  details: 'request_payload_too_large',
};
const INVALID: LocalReply = { status: 500, flags: FLAG.UAEX, body: '', details: 'ext_authz_invalid' };
const FORBIDDEN = 403;

/** One for each exchange whose chain has authorizers, used again for each of its requests. */
export class ExternalCheck {
  private steps: readonly FirstCheck[] = [];
  private at = 0;
  private notes: RbacNotes | null = null;
  private readonly noted = new Map<string, string>();
  /** As the filters so far have changed it; and as its route was chosen by. */
  private head: Buffer | null = null;
  private routed: Buffer | null = null;
  private asked: AskedRequest | undefined;
  private readonly body: BodyGatherer;
  private call: UnaryCall | HttpCall | null = null;
  private startMs = 0;
  /** Somebody is asked as soon as there is enough of the body. */
  private gathering = false;
  /** Of answers to the client. */
  answerChanges: HeaderChange[] = [];

  constructor(
    private readonly path: DataPath,
    private readonly client: ExchangeClient,
    private readonly request: CheckedRequest,
  ) {
    this.body = new BodyGatherer(path);
  }

  /** The body is kept here, since the request waits. */
  get holding(): boolean {
    return this.body.holding;
  }

  /** More of the body is wanted before somebody is asked. */
  get gathers(): boolean {
    return this.body.wantsMore;
  }

  /** The route was chosen by another head than the one that goes on. */
  get keepsRoute(): boolean {
    return this.routed !== this.head;
  }

  /** REQ_* is filled: null where all let it pass, an answer where one does not, and 'waits' where somebody has to be asked (`start`). */
  begin(notes: RbacNotes | null): LocalReply | 'waits' | null {
    this.steps = this.client.chain.firstChecks;
    this.at = 0;
    this.notes = notes;
    this.noted.clear();
    this.head = null;
    this.routed = null;
    this.answerChanges = [];
    this.startMs = Date.now();
    return this.next();
  }

  /** The first piece of the body of a request that waits, which may be empty. */
  start(address: number, length: number, complete: boolean): void {
    this.gather();
    this.more(address, length, complete);
  }

  /** More of it, or nothing but its end. */
  more(address: number, length: number, complete: boolean): void {
    this.body.hold(address, length, complete);
    this.askWhenReady();
  }

  /** REQ_* is filled: the body is kept from here on, and told as the present step wants. */
  private gather(): void {
    const { i32 } = this.path.core;
    // What is in a tunnel is no body.
    const tunnels = (i32[L.REQ_FLAGS >> 2]! & (L.REQUEST_UPGRADE | L.REQUEST_CONNECT)) !== 0;
    this.body.begin(tunnels ? undefined : this.authorizer().body, i32[L.REQ_BODY >> 2] === L.BODY_CHUNKED);
    this.gathering = true;
  }

  private askWhenReady(): void {
    const { body } = this;
    if (!this.gathering || body.wantsMore) return;
    this.gathering = false;
    if (body.overflows) this.refuse(TOO_LARGE);
    else if (body.full) this.fail('no more bodies can be kept', false);
    else this.ask();
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.gathering = false;
    this.body.release();
    this.head = null;
    this.routed = null;
    this.asked = undefined;
    this.endCall()?.cancel();
  }

  /** Fills REQ_* with the head that its route is chosen by; its length. */
  restoreRouted(): number {
    return this.parse(this.routed);
  }

  /** Fills REQ_* with the head that goes on; its length. */
  restore(): number {
    return this.parse(this.head);
  }

  /** What was kept of the body, at least one piece. */
  takeBody(): readonly Buffer[] {
    return this.body.take();
  }

  // ---- Answers ---------------------------------------------------------------------------------------------------------

  onCallAnswered(message: Uint8Array): void {
    this.endCall();
    this.follow(readCheckAnswer(message));
  }

  onHttpAnswered(answer: HttpAnswer): void {
    this.endCall();
    const { service } = this.authorizer();
    if (service.kind === 'http') this.follow(readHttpAnswer(service, answer));
  }

  onCallFailed(reason: string): void {
    this.endCall();
    this.fail(reason, true);
  }

  private follow(verdict: Verdict): void {
    if (verdict.kind === 'failed') {
      this.fail(verdict.reason, true);
      return;
    }
    const authorizer = this.authorizer();
    const { counts } = authorizer;
    if (authorizer.takesMetadata) {
      for (const [name, value] of verdict.metadata) this.notes?.noteMetadata(`${METADATA}:${name}`, value);
    }
    if (authorizer.strict && !isValid(verdict)) {
      counts.invalid++;
      this.refuse(INVALID);
      return;
    }
    if (verdict.kind === 'denied') {
      counts.denied++;
      const status = verdict.status >= 200 && verdict.status <= 599 ? verdict.status : FORBIDDEN;
      this.refuse(
        { status, flags: FLAG.UAEX, body: verdict.body, details: 'ext_authz_denied' },
        denialLines(verdict.headers),
        authorizer.countsForCluster,
      );
      return;
    }
    counts.ok++;
    this.answerChanges.push(...verdict.answer);
    const reroutes = authorizer.reroutes && changesRequest(verdict.request);
    this.goOn((head) => changeRequest(head, verdict.request), reroutes);
  }

  /** @param lenient the filter may let it through all the same */
  private fail(reason: string, lenient: boolean): void {
    const { counts, failureAllows, failureReply, marksFailures, service } = this.authorizer();
    counts.error++;
    this.path.log('debug', 'an authorizer did not answer', { cluster: service.cluster, reason });
    if (!failureAllows || !lenient) {
      this.refuse(failureReply);
      return;
    }
    counts.failureModeAllowed++;
    this.goOn((head) => {
      if (marksFailures) head.add(MARK, 'true');
    }, false);
  }

  /** The present step is done: the head is changed, and the next steps follow. */
  private goOn(change: (head: RequestHead) => void, reroutes: boolean): void {
    const { core } = this.path;
    if (this.parse(this.head) <= 0) {
      this.refuse(HEAD_TOO_LARGE);
      return;
    }
    const head = new RequestHead(headSource(core, this.client));
    const { asked } = this;
    // What authorizers were told is what goes on.
    if (asked !== undefined && asked.madeRequestId !== '') head.add('x-request-id', asked.madeRequestId);
    change(head);
    if (head.changed) {
      this.head = Buffer.from(head.text(), 'latin1');
      if (this.head.length > L.MAX_HEAD_BYTES || this.parse(this.head) <= 0) {
        this.refuse(HEAD_TOO_LARGE);
        return;
      }
      if (reroutes) this.routed = this.head;
    }
    this.at++;
    const result = this.next();
    if (result === 'waits') {
      this.gather();
      if (this.gathers) this.client.resumeRequest();
      this.askWhenReady();
    } else if (result === null) this.request.onAllowed();
    else this.refuse(result);
  }

  private refuse(reply: LocalReply, lines = '', counts = false): void {
    this.body.release();
    this.endCall()?.cancel();
    this.request.onRefused(reply, lines, counts);
  }

  // ---- Questions -------------------------------------------------------------------------------------------------------

  /** REQ_* is filled: the steps from here on, to the next that has to ask. */
  private next(): LocalReply | 'waits' | null {
    const { path, client, steps } = this;
    const notes = {
      noteMetadata: (name: string, value: string) => {
        this.noted.set(name, value);
        this.notes?.noteMetadata(name, value);
      },
    };
    for (; this.at < steps.length; this.at++) {
      const step = steps[this.at] as FirstCheck;
      if (step.kind === 'rules') {
        const refusal = accessRefusal(path, [step.filter], client.chain.listenerRecord, client, notes);
        if (refusal !== null) return refusal;
      } else if (asks(step.authorizer, this.noted)) {
        this.head ??= headBytes(path.core);
        this.routed ??= this.head;
        this.asked = readAskedRequest(path.core, client);
        return this.asked === undefined ? HEAD_TOO_LARGE : 'waits';
      } else step.authorizer.counts.disabled++;
    }
    return null;
  }

  private ask(): void {
    const authorizer = this.authorizer();
    const { service } = authorizer;
    const { path, asked, client } = this;
    if (asked === undefined) return;
    if (path.authorizers.calls >= MAX_CALLS) {
      this.fail(`${MAX_CALLS} calls are under way`, true);
      return;
    }
    const body = this.body.told();
    if (service.kind === 'grpc') {
      const { serverName } = client;
      const { names, ownName = '' } = client.client;
      const connection = { addresses: client.addresses, names, ownName, serverName };
      const facts = { id: asked.madeRequestId || requestId(asked), startMs: this.startMs, bodyBytes: this.body.length };
      this.call = new UnaryCall(path, service, requestQuestion(authorizer, asked, connection, body, facts), this);
    } else {
      const question = httpQuestion(authorizer, service, asked, body);
      if (question === undefined) {
        this.fail('HTTP has no question about CONNECT', false);
        return;
      }
      this.call = new HttpCall(path, service, question, this);
    }
    path.authorizers.calls++;
    this.call.begin();
  }

  private endCall(): UnaryCall | HttpCall | null {
    const { call } = this;
    this.call = null;
    if (call !== null) this.path.authorizers.calls--;
    return call;
  }

  private authorizer(): Authorizer {
    const step = this.steps[this.at];
    if (step?.kind !== 'authorizer') throw new Error('a request waits for nobody');
    return step.authorizer;
  }

  private parse(head: Buffer | null): number {
    const { core } = this.path;
    const { chain, record } = this.client;
    if (head === null) return 0;
    core.bytes.set(head, L.EDITED_HEAD);
    return core.wasm.parseRequest(L.EDITED_HEAD, head.length, 0, chain.listenerRecord, record);
  }
}

function requestId({ headers }: AskedRequest): string {
  return headers.find(([name]) => name === 'x-request-id')?.[1] ?? '';
}

/** Whether all of it can be done. Of what is taken away nothing can be wrong, as in Envoy. */
function isValid(verdict: Verdict): boolean {
  if (verdict.kind === 'failed') return true;
  if (verdict.kind === 'denied') return verdict.headers.every(isValidHeader);
  const { headers, parametersSet } = verdict.request;
  return (
    [...headers, ...verdict.answer].every((one) => one.name.startsWith(':') || isValidHeader(one)) &&
    parametersSet.every(([name, value]) => isValidParameter(name, value))
  );
}
