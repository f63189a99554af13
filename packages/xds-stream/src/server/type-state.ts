// ADS server: what one client subscribed to, was sent and answered, for one type.

import type { AdsTypeReport, AdsTypeStatus, ResourceEntry, ResourceSet, ServedType } from './model.js';

/** A resource that the client holds. `entry` is absent where only its version is known, from a reconnecting client. */
export interface SentResource {
  readonly version: string;
  readonly entry?: ResourceEntry;
}

/** A response without an answer yet. */
export interface Flight {
  readonly nonce: string;
  readonly version: string;
  readonly resourceNames: readonly string[];
  readonly removedNames: readonly string[];
  /** Of the snapshot that it was made of. */
  readonly revision: number;
  /** It carried everything of that snapshot that the client lacked. */
  readonly complete: boolean;
  readonly sentAtMs: number;
  /** After this moment it holds nothing back any more. */
  readonly deadlineMs: number;
  timeoutTold: boolean;
}

/** A resource that left the snapshot and that the client still has, because what used it may not be replaced yet. */
export interface RetainedResource {
  readonly entry: ResourceEntry | undefined;
  /** Sequence number of the snapshot that lacks it. */
  readonly vanishedSeq: number;
  releaseAtMs?: number;
}

/** What one response of a type would carry. */
export interface ResponsePlan {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** To be sent though it carries nothing new: a subscription that must be answered. */
  readonly answer: boolean;
}

/** Responses that a client never answers are remembered up to this many, the newest ones. */
const MAX_UNANSWERED = 16;

const EMPTY_SET: ResourceSet = new Map();

export class TypeState {
  wildcard = false;
  /** The client named something on this stream: from then on an empty list does not mean wildcard. */
  explicit = false;
  readonly names = new Set<string>();
  readonly sent = new Map<string, SentResource>();
  /** To be sent even if unchanged: asked for just now, or refreshed because of another type. */
  readonly demanded = new Set<string>();
  /** To be answered even if empty. */
  answerOwed = false;
  /** In a response that the client rejected; sent again with the next change. */
  readonly rejected = new Set<string>();
  readonly retained = new Map<string, RetainedResource>();
  readonly flights = new Map<string, Flight>();
  /** The newest response that was refused: a client may accept it later, when what was in its way has gone. */
  private refusedFlight: Flight | undefined;
  /** Something may have to be sent. */
  dirty = true;
  sentNonce = '';
  sentVersion = '';
  ackedNonce = '';
  ackedVersion = '';
  error: string | undefined;
  /** Up to this revision everything was sent and taken. */
  private takenRevision = -1;
  /** Resources of the newest snapshot. */
  served: ResourceSet = EMPTY_SET;

  constructor(
    readonly type: ServedType,
    /** Whether removals can be told by name (the incremental form). */
    readonly namesRemovals: boolean,
  ) {}

  get subscribed(): boolean {
    return this.wildcard || this.names.size > 0;
  }

  wants(name: string): boolean {
    return this.wildcard || this.names.has(name);
  }

  /** The newest snapshot's entry, or the one that is kept for a while after it left. */
  target(name: string): ResourceEntry | undefined {
    return this.served.get(name) ?? this.retained.get(name)?.entry;
  }

  /** Takes the type's part of a snapshot and notes what is gone from it. */
  adopt(resources: ResourceSet | undefined, seq: number): void {
    const next = resources ?? EMPTY_SET;
    if (next !== this.served) this.dirty = true;
    this.served = next;
    this.retainVanished(seq);
  }

  /** Keeps what the client holds and the snapshot does not, where the type's removals go last. */
  retainVanished(seq: number): void {
    if (!this.type.removeLast) return;
    for (const name of this.retained.keys()) if (this.served.has(name)) this.retained.delete(name);
    for (const [name, sent] of this.sent) {
      if (this.served.has(name) || this.retained.has(name)) continue;
      this.retained.set(name, { entry: sent.entry, vanishedSeq: seq });
    }
  }

  /** Forgets a name that the client no longer wants. */
  forget(name: string): void {
    this.sent.delete(name);
    this.demanded.delete(name);
    this.rejected.delete(name);
    this.retained.delete(name);
  }

  /** Forgets everything that no subscription covers any more. */
  forgetUnwanted(): void {
    for (const name of [...this.sent.keys(), ...this.demanded, ...this.rejected]) {
      if (!this.wants(name)) this.forget(name);
    }
    if (this.rejected.size === 0) this.error = undefined;
  }

  /** Names that a full response carries. */
  wantedNames(): string[] {
    const names = new Set<string>(this.names);
    if (this.wildcard) {
      for (const name of this.served.keys()) names.add(name);
      for (const name of this.retained.keys()) names.add(name);
    }
    return [...names];
  }

  /** What differs between what the client holds and what it should. */
  plan(demandedOnly: boolean): ResponsePlan {
    const changed: string[] = [];
    const removed: string[] = [];
    for (const name of demandedOnly ? this.demanded : new Set([...this.wantedNames(), ...this.demanded])) {
      const entry = this.target(name);
      if (entry !== undefined) {
        if (this.demanded.has(name) || this.sent.get(name)?.version !== entry.version) changed.push(name);
      } else if (this.namesRemovals && this.demanded.has(name) && !this.sent.has(name)) removed.push(name);
    }
    if (!demandedOnly) {
      for (const name of this.sent.keys()) {
        if (!this.served.has(name) && !this.retained.has(name)) removed.push(name);
      }
      if (changed.length + removed.length > 0) this.addRejected(changed);
    }
    return { changed, removed, answer: this.answerOwed };
  }

  private addRejected(changed: string[]): void {
    for (const name of this.rejected) {
      if (!changed.includes(name) && this.wants(name) && this.target(name) !== undefined) changed.push(name);
    }
  }

  /** Notes a response as sent. */
  recordSent(flight: Flight): void {
    for (const name of flight.resourceNames) {
      const entry = this.target(name);
      if (entry !== undefined) this.sent.set(name, { version: entry.version, entry });
      this.demanded.delete(name);
      this.rejected.delete(name);
    }
    for (const name of flight.removedNames) {
      this.sent.delete(name);
      this.demanded.delete(name);
      this.rejected.delete(name);
    }
    this.answerOwed = false;
    this.flights.set(flight.nonce, flight);
    for (const nonce of this.flights.keys()) {
      if (this.flights.size <= MAX_UNANSWERED) break;
      this.flights.delete(nonce);
    }
    this.sentNonce = flight.nonce;
    this.sentVersion = flight.version;
  }

  /** Takes the answer to a response. Returns the flight, or undefined for a nonce that has none. */
  recordAnswer(nonce: string, error: string | undefined): Flight | undefined {
    const flight = this.flights.get(nonce);
    if (flight === undefined) return this.recordLateAck(nonce, error);
    // State of the world: the newest nonce answers for all before it.
    if (this.namesRemovals) this.flights.delete(nonce);
    else this.flights.clear();
    if (error === undefined) {
      this.ackedNonce = nonce;
      this.ackedVersion = flight.version;
      if (this.rejected.size === 0) {
        this.error = undefined;
        this.noteTaken(flight);
      }
    } else {
      this.error = error;
      this.refusedFlight = flight;
      for (const name of flight.resourceNames) if (this.wants(name)) this.rejected.add(name);
    }
    return flight;
  }

  /** An ACK of a response that was refused before takes the refusal back. */
  private recordLateAck(nonce: string, error: string | undefined): Flight | undefined {
    const flight = this.refusedFlight;
    if (flight?.nonce !== nonce || error !== undefined) return undefined;
    this.refusedFlight = undefined;
    for (const name of flight.resourceNames) this.rejected.delete(name);
    if (this.rejected.size > 0) return undefined;
    this.error = undefined;
    this.ackedNonce = nonce;
    this.ackedVersion = flight.version;
    this.noteTaken(flight);
    return flight;
  }

  private noteTaken({ complete, revision }: Flight): void {
    if (complete) this.takenRevision = Math.max(this.takenRevision, revision);
  }

  /** How the client stands with everything up to a revision that was taken up for it. */
  standing(revision: number): 'taken' | 'pending' | 'refused' {
    if (this.takenRevision >= revision) return 'taken';
    if (this.dirty || this.flights.size > 0) return 'pending';
    // What stands refused may be older: then nothing of the revision concerns the client, or it would have been sent.
    return this.error !== undefined && (this.refusedFlight?.revision ?? -1) >= revision ? 'refused' : 'taken';
  }

  /** True while a response that is not out of time has no answer. */
  inFlight(nowMs: number): boolean {
    for (const flight of this.flights.values()) if (flight.deadlineMs > nowMs) return true;
    return false;
  }

  /** Puts the earliest deadline after `nowMs` in comparison with `earliestMs`. */
  earliestDeadline(nowMs: number, earliestMs: number): number {
    let earliest = earliestMs;
    for (const { deadlineMs } of this.flights.values())
      if (deadlineMs > nowMs) earliest = Math.min(earliest, deadlineMs);
    for (const { releaseAtMs } of this.retained.values()) {
      if (releaseAtMs !== undefined) earliest = Math.min(earliest, releaseAtMs);
    }
    return earliest;
  }

  report(): AdsTypeReport {
    const resources = new Map<string, ResourceEntry>();
    for (const [name, { entry, version }] of this.sent) {
      const served = this.target(name);
      const held = entry ?? (served?.version === version ? served : undefined);
      if (held !== undefined) resources.set(name, held);
    }
    const status = this.status();
    return {
      typeUrl: this.type.typeUrl,
      status,
      wildcard: this.wildcard,
      subscribedNames: [...this.names],
      sentVersion: this.sentVersion,
      sentNonce: this.sentNonce,
      ackedVersion: this.ackedVersion,
      ackedNonce: this.ackedNonce,
      ...(this.error === undefined ? {} : { error: this.error }),
      resources,
    };
  }

  private status(): AdsTypeStatus {
    // A client that reconnected with everything up to date was sent nothing, and needs nothing.
    if (this.sentNonce === '') return this.sent.size > 0 && !this.dirty ? 'SYNCED' : 'NOT SENT';
    if (this.error !== undefined) return 'NACK';
    return this.dirty || this.flights.size > 0 ? 'STALE' : 'SYNCED';
  }
}
