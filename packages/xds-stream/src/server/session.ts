// ADS server: one stream. Requests change the types' states, the newest snapshot is compared with them, one response is
// written at a time: so a slow client costs one message, and always gets the newest when it is ready again.

import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import type { Status } from '@lateen/xds-proto/google/rpc/status_pb.js';
import { applyDeltaSubscription, deltaResponse } from './delta.js';
import {
  type AdsEvents,
  type AdsResponseEvent,
  type AdsStanding,
  type AdsSubscriber,
  type AdsTypeReport,
  HEALTH_INFORMATION_TYPE_URL,
  type ResourceView,
  type ServedSnapshot,
  type ServedType,
} from './model.js';
import { PushOrder } from './push-order.js';
import { plainServedType } from './served-types.js';
import { applySotwSubscription, isStale, sotwResponse } from './sotw.js';
import { type Flight, type ResponsePlan, TypeState } from './type-state.js';

/** More type URLs than any client has reason to ask for on one stream. */
const MAX_TYPES = 64;

export interface SessionOptions {
  readonly client: AdsSubscriber;
  readonly types: readonly ServedType[];
  readonly events: AdsEvents;
  readonly ackTimeoutMs: number;
  readonly removalGraceMs: number;
  readonly controlPlaneId: string;
  /** Writes one response; `onFlushed` when the transport can take the next. */
  readonly write: (response: DiscoveryResponse | DeltaDiscoveryResponse, onFlushed: () => void) => void;
  /** A resource could not be read or the view failed: the stream cannot go on. */
  readonly onFailure: (error: Error) => void;
}

/** Thrown by `receive` for a request that makes no sense; the stream ends with this text. */
export class BadRequest extends Error {}

export class AdsSession {
  private readonly states = new Map<string, TypeState>();
  private readonly order: PushOrder;
  private view: ResourceView | undefined;
  private snapshot: ServedSnapshot | undefined;
  private snapshotSeq = 0;
  private takenUpAtMs = 0;
  private responses = 0;
  private converged = true;
  private writing = false;
  private scheduled = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: SessionOptions) {
    this.order = new PushOrder(options.types, this.states, options.removalGraceMs);
  }

  /** Starts serving from a view. */
  start(view: ResourceView): void {
    this.view = view;
    this.schedule();
  }

  /** Something newer may be there. */
  notify(): void {
    this.schedule();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.timer);
    this.view?.close();
  }

  report(): readonly AdsTypeReport[] {
    return this.inOrder().map((state) => state.report());
  }

  /** How the client stands with the snapshots up to a revision. */
  standing(revision: number): AdsStanding {
    const served = this.snapshot?.revision;
    if (served === undefined || served < revision || this.states.size === 0) return { state: 'pending', typeUrls: [] };
    const nowMs = Date.now();
    const pending: string[] = [];
    const refusals: { typeUrl: string; error: string }[] = [];
    for (const state of this.inOrder()) {
      const { typeUrl } = state.type;
      const standing = state.standing(revision);
      if (standing === 'pending' || this.order.awaits(typeUrl, nowMs)) pending.push(typeUrl);
      else if (standing === 'refused') refusals.push({ typeUrl, error: state.error ?? '' });
    }
    if (pending.length > 0) return { state: 'pending', typeUrls: pending };
    return refusals.length > 0 ? { state: 'refused', refusals } : { state: 'taken' };
  }

  /** Takes one request. @throws BadRequest */
  receive(request: DiscoveryRequest | DeltaDiscoveryRequest): void {
    if (request.typeUrl === '') throw new BadRequest('a discovery request without type_url; set it on every request');
    if (request.typeUrl === HEALTH_INFORMATION_TYPE_URL) {
      const { client, events } = this.options;
      events.onHealthReport?.(client, request.errorDetail && describeStatus(request.errorDetail));
      return;
    }
    const known = this.states.get(request.typeUrl);
    const state = known ?? this.addType(request.typeUrl);
    const first = known === undefined;
    if (first && this.snapshot !== undefined)
      state.adopt(this.snapshot.resources.get(request.typeUrl), this.snapshotSeq);
    if (request.$typeName === 'envoy.service.discovery.v3.DiscoveryRequest') {
      if (!first && isStale(state, request)) return;
      this.takeAnswer(state, request.responseNonce, request.errorDetail);
      applySotwSubscription(state, request);
    } else {
      this.takeAnswer(state, request.responseNonce, request.errorDetail);
      applyDeltaSubscription(state, request, first);
      if (first && this.snapshot !== undefined) state.retainVanished(this.snapshotSeq);
    }
    this.view?.onSubscribed?.(request.typeUrl, state.names);
    this.schedule();
  }

  private addType(typeUrl: string): TypeState {
    if (this.states.size >= MAX_TYPES) {
      throw new BadRequest(`more than ${MAX_TYPES} resource types on one stream; ${typeUrl} is one too many`);
    }
    const type = this.options.types.find((candidate) => candidate.typeUrl === typeUrl) ?? plainServedType(typeUrl);
    const state = new TypeState(type, this.options.client.form === 'delta');
    this.states.set(typeUrl, state);
    return state;
  }

  private takeAnswer(state: TypeState, nonce: string, errorDetail: Status | undefined): void {
    if (nonce === '') return;
    const error = errorDetail === undefined ? undefined : describeStatus(errorDetail);
    const flight = state.recordAnswer(nonce, error);
    if (flight === undefined) return;
    const event = { ...this.eventOf(state, flight), elapsedMs: Date.now() - flight.sentAtMs };
    if (error === undefined) this.options.events.onAck?.(event);
    else {
      this.order.noteRejected(state);
      this.options.events.onNack?.({ ...event, error });
    }
  }

  /** Requests that arrive together are looked at together. */
  private schedule(): void {
    if (this.scheduled || this.closed) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.pump();
    });
  }

  private pump(): void {
    try {
      this.pushWhatIsDue();
    } catch (error) {
      this.options.onFailure(error as Error);
    }
  }

  private pushWhatIsDue(): void {
    if (this.closed || this.writing || this.view === undefined) return;
    const startedAtMs = Date.now();
    const newest = this.view.current();
    if (newest === undefined) return;
    if (newest !== this.snapshot) this.adopt(newest, startedAtMs);
    const nowMs = Date.now();
    if (this.sendNext(nowMs)) return;
    this.order.releaseRemovals(this.snapshotSeq, nowMs);
    if (this.sendNext(nowMs)) return;
    this.tellConverged(newest, nowMs);
    this.tellTimeouts(nowMs);
    this.armTimer(nowMs);
  }

  private adopt(snapshot: ServedSnapshot, startedAtMs: number): void {
    this.snapshot = snapshot;
    this.takenUpAtMs = startedAtMs;
    this.snapshotSeq += 1;
    this.converged = false;
    for (const [typeUrl, state] of this.states) state.adopt(snapshot.resources.get(typeUrl), this.snapshotSeq);
  }

  /** Sends the first response that is due and not held back. */
  private sendNext(nowMs: number): boolean {
    for (const state of this.inOrder()) {
      if (!state.dirty || this.order.isGated(state.type, nowMs)) continue;
      // A change waits for the answer to the one before; what was asked for does not.
      const busy = state.inFlight(nowMs);
      const plan = state.plan(busy);
      if (this.send(state, plan, nowMs, !busy)) {
        state.dirty = busy;
        return true;
      }
      if (!busy) state.dirty = false;
    }
    return false;
  }

  /** @param complete it carries everything of the type that the client lacks, not only what it asked for */
  private send(state: TypeState, plan: ResponsePlan, nowMs: number, complete: boolean): boolean {
    const { client, controlPlaneId, write } = this.options;
    const sotw = client.form === 'sotw';
    if (sotw && !state.type.fullSet) for (const name of plan.removed) state.sent.delete(name);
    const tellsRemovals = !sotw || state.type.fullSet;
    if (plan.changed.length === 0 && !plan.answer && !(tellsRemovals && plan.removed.length > 0)) return false;
    this.responses += 1;
    const nonce = `${client.streamId}-${this.responses}`;
    const version = this.versionOf(state);
    const names = sotw && state.type.fullSet ? state.wantedNames() : plan.changed;
    const present = names.filter((name) => state.target(name) !== undefined);
    const fields = { names: present, removed: plan.removed, version, nonce, controlPlaneId };
    const response = sotw ? sotwResponse(state, fields) : deltaResponse(state, fields);
    const flight: Flight = {
      nonce,
      version,
      resourceNames: present,
      removedNames: plan.removed,
      revision: this.snapshot?.revision ?? 0,
      complete,
      sentAtMs: nowMs,
      deadlineMs: nowMs + this.options.ackTimeoutMs,
      timeoutTold: false,
    };
    state.recordSent(flight);
    this.order.noteSent(state, plan.changed, nowMs);
    this.writing = true;
    const pushMs = this.converged ? undefined : Date.now() - this.takenUpAtMs;
    this.options.events.onSent?.({ ...this.eventOf(state, flight), pushMs });
    write(response, () => {
      this.writing = false;
      this.schedule();
    });
    return true;
  }

  /** A full set that still holds removed resources is not the snapshot's own, so it has another version. */
  private versionOf(state: TypeState): string {
    const version = this.snapshot?.version ?? '';
    const holdsRemoved = this.options.client.form === 'sotw' && state.type.fullSet && state.retained.size > 0;
    return holdsRemoved ? `${version}+${state.retained.size}` : version;
  }

  private tellConverged(snapshot: ServedSnapshot, nowMs: number): void {
    if (this.converged || this.states.size === 0) return;
    for (const state of this.states.values()) {
      if (state.dirty || state.flights.size > 0 || state.error !== undefined) return;
    }
    this.converged = true;
    const sinceMs = Math.max(snapshot.createdAtMs ?? nowMs, this.options.client.connectedAtMs);
    this.options.events.onConverged?.(this.options.client, snapshot, nowMs - sinceMs);
  }

  private tellTimeouts(nowMs: number): void {
    for (const state of this.states.values()) {
      for (const flight of state.flights.values()) {
        if (flight.timeoutTold || flight.deadlineMs > nowMs) continue;
        flight.timeoutTold = true;
        this.options.events.onAckTimeout?.(this.eventOf(state, flight));
      }
    }
  }

  private armTimer(nowMs: number): void {
    clearTimeout(this.timer);
    const deadlineMs = this.order.nextDeadlineMs(nowMs);
    if (!Number.isFinite(deadlineMs)) return;
    this.timer = setTimeout(() => this.pump(), Math.max(1, deadlineMs - nowMs));
    this.timer.unref();
  }

  /** Listed types in their push order, then the others. */
  private inOrder(): TypeState[] {
    const ordered: TypeState[] = [];
    for (const { typeUrl } of this.options.types) {
      const state = this.states.get(typeUrl);
      if (state !== undefined) ordered.push(state);
    }
    for (const state of this.states.values()) if (!ordered.includes(state)) ordered.push(state);
    return ordered;
  }

  private eventOf(state: TypeState, flight: Flight): AdsResponseEvent {
    const { nonce, version, resourceNames, removedNames } = flight;
    return { client: this.options.client, typeUrl: state.type.typeUrl, nonce, version, resourceNames, removedNames };
  }
}

function describeStatus(status: Status): string {
  return status.message !== '' ? status.message : `rejected with code ${status.code} and no message`;
}
