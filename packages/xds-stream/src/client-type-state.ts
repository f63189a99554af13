// ADS client: what both protocol forms do with one response of one type: decode each resource, ask the subscriber, answer.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { shortTypeName } from '@lateen/xds-proto';
import type { Status } from '@lateen/xds-proto/google/rpc/status_pb.js';
import { StatusSchema } from '@lateen/xds-proto/google/rpc/status_pb.js';
import {
  type ReceivedResource,
  type ResourceProblem,
  ResourceRejected,
  type ResourceUpdate,
  type SubscriptionStatus,
  type TypeSubscription,
} from './client-types.js';

/** gRPC's INVALID_ARGUMENT, the code of a NACK. */
const INVALID_ARGUMENT = 3;
/** A NACK travels as one message; more than this many characters help nobody. */
const MAX_ERROR_CHARACTERS = 16 * 1024;

/** The name that asks for every resource of a type. */
export const WILDCARD = '*';

/** One type of one client, whatever the protocol form. It survives reconnections. */
export interface TypeState<Request, Response> {
  readonly status: SubscriptionStatus;
  /** The request to send on a new stream; undefined while nothing is wanted. */
  opened(): Request | undefined;
  closed(): void;
  setNames(names: Iterable<string>): void;
  /** The request that tells the server of changed names; undefined when there is nothing to tell now. */
  namesRequest(): Request | undefined;
  /** Applies a response; resolves to the ACK or NACK. */
  received(response: Response): Promise<Request>;
  /** A refused resource is in effect after all. False where it was not refused. */
  withdraw(resourceName: string): boolean;
  /** The late ACK, once nothing of the last response stands refused any more. */
  lateAck(): Request | undefined;
}

/** What stands refused of a type, so that a refusal whose reason has passed can be taken back. */
export class StandingRefusals {
  /** Version of the refused resource by name; the empty name stands for a whole response. */
  readonly #versions = new Map<string, string>();
  #lastNack: { readonly nonce: string; readonly version: string } | undefined;

  /**
   * Notes the answer to a response.
   * @param full the response lists everything that there is, so older refusals are over
   */
  answered(
    response: { readonly nonce: string; readonly version: string; readonly full: boolean },
    judged: readonly { readonly name: string; readonly version: string }[],
    problems: readonly ResourceProblem[],
  ): void {
    if (response.full) this.#versions.clear();
    this.#versions.delete('');
    for (const { name } of judged) this.#versions.delete(name);
    for (const { resourceName } of problems) this.#versions.set(resourceName, '');
    for (const { name, version } of judged) if (this.#versions.has(name)) this.#versions.set(name, version);
    this.#lastNack = problems.length === 0 ? undefined : response;
  }

  /** The version that was refused of a name, which is not refused any more; undefined where it was not. */
  withdraw(name: string): string | undefined {
    const version = this.#versions.get(name);
    this.#versions.delete(name);
    return version;
  }

  /** The refused response, once nothing stands refused; it is given out once. */
  takeSettled(): { readonly nonce: string; readonly version: string } | undefined {
    if (this.#versions.size > 0) return undefined;
    const settled = this.#lastNack;
    this.#lastNack = undefined;
    return settled;
  }

  get isEmpty(): boolean {
    return this.#versions.size === 0;
  }

  /** Names that nobody wants any more. */
  keep(wanted: ReadonlySet<string>): void {
    for (const name of this.#versions.keys()) if (!wanted.has(name)) this.#versions.delete(name);
  }

  /** Nonces of a stream that ended mean nothing on the next. */
  closed(): void {
    this.#lastNack = undefined;
  }
}

export function createStatus(typeUrl: string): SubscriptionStatus {
  return { typeUrl, version: '', accepted: 0, rejected: 0, lastError: undefined, lastResponseMs: 0 };
}

/** A resource as it stands in a response of either form. */
export interface Envelope {
  readonly name: string | undefined;
  readonly version: string;
  readonly any: Any;
}

/** Decodes every resource of a response; the ones that fail are listed, not thrown. */
export function decodeAll<T>(
  subscription: TypeSubscription<T>,
  envelopes: readonly Envelope[],
): { upserts: ReceivedResource<T>[]; rejected: ResourceProblem[] } {
  const upserts: ReceivedResource<T>[] = [];
  const rejected: ResourceProblem[] = [];
  const seen = new Set<string>();
  for (const { name, version, any } of envelopes) {
    try {
      const decoded = subscription.decode(any, name);
      if (seen.has(decoded.name)) {
        rejected.push({ resourceName: decoded.name, path: '', message: 'sent twice in one response' });
        continue;
      }
      seen.add(decoded.name);
      upserts.push({ name: decoded.name, version, value: decoded.value, any });
    } catch (error) {
      if (error instanceof ResourceRejected) {
        for (const { path, message } of error.problems) {
          rejected.push({ resourceName: error.resourceName || name || '', path, message });
        }
      } else {
        rejected.push({ resourceName: name ?? '', path: '', message: (error as Error).message });
      }
    }
  }
  return { upserts, rejected };
}

/** Hands an update to its subscriber and gathers every problem. A thrown error rejects the whole update. */
export async function judge<T>(
  subscription: TypeSubscription<T>,
  update: ResourceUpdate<T>,
  status: SubscriptionStatus,
): Promise<readonly ResourceProblem[]> {
  status.lastResponseMs = Date.now();
  let found: readonly ResourceProblem[];
  try {
    found = (await subscription.onUpdate(update)) ?? [];
  } catch (error) {
    found = [{ resourceName: '', path: '', message: (error as Error).message }];
  }
  const problems = [...update.rejected, ...found];
  if (problems.length === 0) {
    status.version = update.version;
    status.accepted++;
    status.lastError = undefined;
  } else {
    status.rejected++;
    status.lastError = describeProblems(update.typeUrl, problems);
  }
  return problems;
}

/** Every problem in one text, one line each: `LDS "NAME" path: message`. */
export function describeProblems(typeUrl: string, problems: readonly ResourceProblem[]): string {
  const text = problems
    .map(({ resourceName, path, message }) => {
      const where = path === '' ? '' : ` ${path}`;
      return `${shortTypeName(typeUrl)} "${resourceName}"${where}: ${message}`;
    })
    .join('\n');
  return text.length <= MAX_ERROR_CHARACTERS ? text : `${text.slice(0, MAX_ERROR_CHARACTERS)}… (cut)`;
}

/** The `error_detail` of a NACK, or undefined for an ACK. */
export function errorDetail(typeUrl: string, problems: readonly ResourceProblem[]): Status | undefined {
  if (problems.length === 0) return undefined;
  return create(StatusSchema, { code: INVALID_ARGUMENT, message: describeProblems(typeUrl, problems) });
}
