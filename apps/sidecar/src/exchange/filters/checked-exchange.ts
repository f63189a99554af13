// Exchange: what is found out about a request before its filters decide: what authorizers say of it, and whether its tokens are good.

import * as L from '@lateen/filters-wasm';
import type { JwtDecision, JwtFilter } from '@lateen/jwt';
import { changeAnswer } from '../../external-authorization/header-change.js';
import { joinLines } from '../../limit-service/limit-answer.js';
import { clusterCounts, countAnswer } from '../../observe/cluster-counts.js';
import { ForwardingExchange } from '../forwarding-exchange.js';
import { HEAD_TOO_LARGE, type LocalReply } from '../local-reply.js';
import { type CheckedRequest, ExternalCheck } from './external-check.js';
import { CLAIMS_TOO_LARGE, type TokenBearer, TokenCheck, tokenRefusal } from './token-check.js';

export abstract class CheckedExchange extends ForwardingExchange implements CheckedRequest, TokenBearer {
  private externalCheck: ExternalCheck | null = null;
  private tokenCheck: TokenCheck | null = null;
  /** Header lines of an answer to the client that authorizers have asked for, if it has none of these headers itself. */
  private authorizedLines = '';
  /** Counts requests. */
  protected serial = 0;

  /** REQ_* and ROUTE_* are filled: the filters that follow that for tokens, in their order. */
  protected abstract filter(action: number, headLength: number, bodyAddress: number, bodyLength: number): void;
  /** More of the request's body. */
  abstract requestBytes(address: number, length: number, wireLength: number, complete: boolean): void;

  protected route(random: number, secure: number): number {
    const { wasm, i32 } = this.path.core;
    const action = wasm.route(this.client.chain.routeConfigSlot, random, secure);
    this.policy = i32[L.ROUTE_POLICY >> 2]!;
    this.log?.noteRoute();
    return action;
  }

  protected get holdsBody(): boolean {
    return this.tokenCheck?.holding === true || this.externalCheck?.holding === true;
  }

  /** A piece of the body of a request that is held back. */
  protected holdBody(address: number, length: number, complete: boolean): void {
    const { externalCheck } = this;
    if (externalCheck?.holding !== true) {
      this.tokenCheck?.holdBody(address, length);
      if (complete) this.completeRequest();
      else this.client.pauseRequest();
      return;
    }
    if (complete) this.completeRequest();
    externalCheck.more(address, length, complete);
    if (this.heldBack && !complete && !externalCheck.gathers) this.client.pauseRequest();
  }

  /** The request is over: nothing of it is kept. */
  protected endChecks(): void {
    this.externalCheck?.cancel();
    if (this.heldBack) this.tokenCheck?.cancel();
  }

  /** The body once more, piece by piece, of which `first` gets the first. */
  private replayBody(body: readonly Buffer[], first: (address: number, length: number) => void): void {
    const { requestComplete: complete, serial } = this;
    this.requestComplete = complete && body.length <= 1;
    body.forEach((piece, index) => {
      this.path.core.bytes.set(piece, L.EDITED_HEAD_BODY);
      const { length } = piece;
      if (index === 0) first(L.EDITED_HEAD_BODY, length);
      else if (this.active && this.serial === serial)
        this.requestBytes(L.EDITED_HEAD_BODY, length, 0, complete && index === body.length - 1);
    });
  }

  // ---- Authorizers -----------------------------------------------------------------------------------------------------

  /** Goes on, or holds the request back until all authorizers have let it through. */
  protected checkFirst(action: number, headLength: number, bodyAddress: number, bodyLength: number): void {
    this.externalCheck ??= new ExternalCheck(this.path, this.client, this);
    const check = this.externalCheck;
    this.noteTarget(action);
    const result = check.begin(this.log);
    if (result === null) {
      this.afterFirst(action, headLength, bodyAddress, bodyLength);
      return;
    }
    if (result !== 'waits') {
      this.replyLocally(result);
      return;
    }
    this.heldBack = true;
    check.start(bodyAddress, bodyLength, this.requestComplete);
    if (this.heldBack && !this.requestComplete && !check.gathers) this.client.pauseRequest();
  }

  onAllowed(): void {
    const { externalCheck } = this;
    if (!this.heldBack || externalCheck === null) return;
    this.path.clock.tick();
    this.lastActiveMs = this.path.clock.nowMs;
    this.heldBack = false;
    const { answerChanges } = externalCheck;
    if (answerChanges.length > 0) {
      this.authorizedLines = changeAnswer(answerChanges, () => false).lines;
      this.headLines = joinLines(this.headLines, this.authorizedLines);
    }
    let headLength = externalCheck.restoreRouted();
    const action = this.route(-1, this.client.secure);
    this.noteTarget(action);
    if (externalCheck.keepsRoute) headLength = externalCheck.restore();
    this.replayBody(externalCheck.takeBody(), (address, length) =>
      this.afterFirst(action, headLength, address, length),
    );
  }

  onRefused(reply: LocalReply, headLines: string, counts: boolean): void {
    if (!this.heldBack) return;
    this.path.clock.tick();
    this.heldBack = false;
    if (counts) countAnswer(clusterCounts(this.path, this.clusterSlot), reply.status);
    this.headLines = joinLines(this.headLines, headLines);
    this.replyLocally(reply);
  }

  private afterFirst(action: number, headLength: number, bodyAddress: number, bodyLength: number): void {
    const { tokens } = this.client.chain;
    if (tokens === null) this.filter(action, headLength, bodyAddress, bodyLength);
    else this.checkTokens(tokens, action, headLength, bodyAddress, bodyLength);
  }

  /** For the log and the metrics: where the request would go. */
  private noteTarget(action: number): void {
    this.clusterSlot = action === L.ROUTE_ACTION_FORWARD ? this.path.core.i32[L.ROUTE_CLUSTER >> 2]! : -1;
  }

  protected changeAnswer(): void {
    if (this.externalCheck === null || this.externalCheck.answerChanges.length === 0) return;
    const changes = this.externalCheck.answerChanges;
    const { core } = this.path;
    const { removed, lines } = changeAnswer(changes, (name) => core.responseHeader(name) !== undefined);
    this.headLines = this.headLines.replace(this.authorizedLines, () => lines);
    this.authorizedLines = lines;
    if (removed.length > 0) dropFromAnswer(core, removed);
  }

  // ---- Tokens ----------------------------------------------------------------------------------------------------------

  /** Goes on with the filters, or holds the request back until its tokens are checked. */
  protected checkTokens(
    filter: JwtFilter,
    action: number,
    headLength: number,
    bodyAddress: number,
    bodyLength: number,
  ): void {
    this.tokenCheck ??= new TokenCheck(this.path, this);
    const decision = this.tokenCheck.decide(filter, this.client);
    if (decision !== null) {
      this.followTokens(this.tokenCheck, decision, action, headLength, bodyAddress, bodyLength);
      return;
    }
    this.heldBack = true;
    this.tokenCheck.holdBody(bodyAddress, bodyLength);
    if (!this.requestComplete) this.client.pauseRequest();
  }

  onTokensChecked(): void {
    const { chain, record, secure } = this.client;
    const { tokenCheck } = this;
    if (!this.heldBack || tokenCheck === null || chain.tokens === null) return;
    this.path.clock.tick();
    this.heldBack = false;
    const action = this.routeAgain(secure);
    const headLength = tokenCheck.restore(this.listenerRecord, record);
    const routed = action ?? this.route(-1, secure);
    const decision = tokenCheck.decide(chain.tokens, this.client);
    if (decision === null) {
      this.heldBack = true;
      return;
    }
    this.replayBody(tokenCheck.takeBody(), (address, length) =>
      this.followTokens(tokenCheck, decision, routed, headLength, address, length),
    );
  }

  /** Where authorizers have changed the head and not the route: by the head from before. */
  private routeAgain(secure: number): number | undefined {
    if (this.externalCheck?.keepsRoute !== true) return undefined;
    this.externalCheck.restoreRouted();
    return this.route(-1, secure);
  }

  private followTokens(
    check: TokenCheck,
    decision: JwtDecision,
    action: number,
    headLength: number,
    bodyAddress: number,
    bodyLength: number,
  ): void {
    const { core } = this.path;
    // For the log and the metrics: where the request would have gone.
    if (action === L.ROUTE_ACTION_FORWARD) this.clusterSlot = core.i32[L.ROUTE_CLUSTER >> 2]!;
    if (decision.kind === 'refused') {
      if (decision.challenge !== '') {
        this.headLines = joinLines(this.headLines, `www-authenticate: ${decision.challenge}\r\n`);
      }
      this.replyLocally(tokenRefusal(decision));
      return;
    }
    this.log?.noteClaims(decision.metadata);
    const { record, secure } = this.client;
    const length = decision.head.changed ? check.rewrite(decision, this.listenerRecord, record) : headLength;
    if (length === 0 || !check.putClaims(decision)) {
      this.replyLocally(length === 0 ? HEAD_TOO_LARGE : CLAIMS_TOO_LARGE);
      return;
    }
    try {
      const routed = decision.reroute ? this.route(core.i32[L.ROUTE_RANDOM >> 2]!, secure) : action;
      this.filter(routed, length, bodyAddress, bodyLength);
    } finally {
      L.clearClaims(core);
    }
  }
}

/** RESP_* is filled: these headers do not reach the client. */
function dropFromAnswer({ i32, text }: L.Core, names: readonly string[]): void {
  for (let index = 0; index < i32[L.RESP_HEADER_COUNT >> 2]!; index++) {
    const entry = (L.RESP_HEADERS + index * L.HEADER_ENTRY_BYTES) >> 2;
    const name = text(i32[entry]!, i32[entry + (L.HEADER_NAME_LENGTH >> 2)]!).toLowerCase();
    if (names.includes(name)) i32[entry + (L.HEADER_FLAGS >> 2)]! |= L.HEADER_FLAG_DROPPED;
  }
}
