// ADS client: what a subscriber gives and gets. Read this before client.ts.

import type { Any } from '@bufbuild/protobuf/wkt';

/** Which form of the protocol a stream speaks: state-of-the-world or incremental. */
export type XdsProtocol = 'sotw' | 'delta';

/** One fault of one received resource. */
export interface ResourceProblem {
  /** Empty where the name could not be read. */
  readonly resourceName: string;
  /** Field path inside the resource, for example `filter_chains[0].name`; empty for the whole resource. */
  readonly path: string;
  readonly message: string;
}

/** Thrown by `TypeSubscription.decode`: the resource is refused, the last accepted one of that name stays. */
export class ResourceRejected extends Error {
  constructor(
    readonly resourceName: string,
    readonly problems: readonly { readonly path: string; readonly message: string }[],
  ) {
    super(problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; '));
    this.name = 'ResourceRejected';
  }
}

export interface ReceivedResource<T> {
  readonly name: string;
  /** The resource's own version in the incremental form, the response's version otherwise. */
  readonly version: string;
  readonly value: T;
  /** The bytes as received, for storing them. */
  readonly any: Any;
}

/** What one response changes. */
export interface ResourceUpdate<T> {
  readonly typeUrl: string;
  /** Version of the whole response (`version_info` or `system_version_info`). */
  readonly version: string;
  /** Accepted resources: all of them in the state-of-the-world form, the changed ones in the incremental form. */
  readonly upserts: readonly ReceivedResource<T>[];
  /** Names that are gone. In the state-of-the-world form: what a full list does not hold any more. */
  readonly removed: readonly string[];
  /** Resources that did not decode; they are part of the NACK whatever `onUpdate` answers. */
  readonly rejected: readonly ResourceProblem[];
}

/** One type URL that a client wants. */
export interface TypeSubscription<T> {
  readonly typeUrl: string;
  /**
   * `wildcard`: everything that the server has for this node, and what `setNames` names on demand besides; `named`: the
   * names given to `setNames`.
   */
  readonly mode: 'wildcard' | 'named';
  /**
   * Ask for everything with `*` from the first request on. Without it the old form is used, a first request without
   * names, which every server knows; `*` is then only sent together with names.
   */
  readonly explicitWildcard?: boolean;
  /**
   * Decodes and validates one resource.
   * @param name the resource's name from its envelope; undefined in the state-of-the-world form, where it is read from
   *   the resource itself
   * @throws ResourceRejected, or any error, to refuse this resource and keep the others
   */
  decode(resource: Any, name: string | undefined): { readonly name: string; readonly value: T };
  /**
   * Takes an update. The answer is sent when the returned promise settles: an ACK when there are no problems, else a
   * NACK that lists them. What is rejected here must have been left as it was before.
   */
  onUpdate(update: ResourceUpdate<T>): ResponseVerdict | Promise<ResponseVerdict>;
}

/** Problems found while an update was applied; undefined or an empty list accepts it. */
export type ResponseVerdict = readonly ResourceProblem[] | undefined;

/** A running subscription. */
export interface SubscriptionHandle {
  /** Replaces the names that are wanted (under a wildcard: besides everything else); only a change is sent. */
  setNames(names: Iterable<string>): void;
  /**
   * To be called when a resource that was refused is in effect after all, for example since an address became free. The
   * server gets an ACK of the refused response as soon as nothing of it stands refused. False where it was not refused.
   */
  withdrawRefusal(resourceName: string): boolean;
  readonly status: SubscriptionStatus;
}

/** Counters of one type, for status pages and metrics. */
export interface SubscriptionStatus {
  readonly typeUrl: string;
  /** Version that was last accepted; empty before. */
  version: string;
  accepted: number;
  rejected: number;
  lastError: string | undefined;
  /** Milliseconds since the epoch of the last response; 0 before. */
  lastResponseMs: number;
}

/** One open stream, as a transport gives it to the client. Messages are decoded protobuf messages. */
export interface ClientStream<Request> {
  send(request: Request): void;
  /** Ends the own half, after what was sent; the server's answer to that ends the stream. */
  finish(): void;
  /** Ends the stream without further events. */
  cancel(): void;
}

export interface ClientStreamEvents<Response> {
  /** The server accepted the stream. May be missing on servers that send no headers before a first response. */
  onOpen(): void;
  onMessage(response: Response): void;
  /** The stream is over, for whatever reason; called once. */
  onEnd(reason: string): void;
}
