// Store: after a batch: tells each update of the problems of its resources, remembers them for the admin API, logs the rest.

import { shortTypeName, TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import type { ResourceProblem } from '@lateen/xds-stream';
import type { ConfigProblem } from '../../data-plane.js';
import type { UnboundListener } from './bind-retry.js';
import type { ResourceChange } from './resource-state.js';

/** Why the last version of a resource was refused; kept until it is accepted or gone. */
export interface RejectedResource {
  readonly typeUrl: XdsTypeUrl;
  readonly name: string;
  readonly message: string;
  readonly atMs: number;
}

export interface PendingUpdate {
  readonly change: ResourceChange;
  /** Undefined where nobody waits; problems are then logged. */
  readonly settle: ((problems: readonly ResourceProblem[]) => void) | undefined;
}

export interface VerdictsOptions {
  readonly now?: () => number;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

type UnboundListeners = ReadonlyMap<string, UnboundListener>;

export class Verdicts {
  readonly #rejected = new Map<string, RejectedResource>();

  constructor(private readonly options: VerdictsOptions) {}

  get rejected(): Iterable<RejectedResource> {
    return this.#rejected.values();
  }

  /** @param unboundBefore what could not be bound before this batch; what still cannot is no news */
  report(
    batch: readonly PendingUpdate[],
    problems: readonly ConfigProblem[],
    unboundBefore: UnboundListeners,
    unbound: UnboundListeners,
  ): void {
    for (const { change } of batch) {
      for (const name of [...change.upserts.map((entry) => entry.name), ...change.removed]) {
        this.#rejected.delete(`${change.typeUrl}/${name}`);
      }
    }
    for (const name of unboundBefore.keys()) {
      if (!unbound.has(name)) this.#rejected.delete(`${TYPE_URL.listener}/${name}`);
    }
    this.remember(problems);
    const claimed = this.#settle(batch, problems);
    for (const problem of problems) {
      if (claimed.has(problem)) continue;
      const { resourceType, resourceName, path, message } = problem;
      if (problem.mayPass === true && unboundBefore.get(resourceName)?.reason.includes(message) === true) continue;
      this.options.log('error', 'a resource cannot be put in effect', {
        type: shortTypeName(resourceType),
        resource: resourceName,
        path,
        reason: message,
        ...(problem.mayPass === true ? { next: 'it is tried again every few seconds' } : {}),
      });
    }
  }

  /** A refused resource that its source does not list any more is no concern. */
  forgetUnlisted(typeUrl: XdsTypeUrl, listed: ReadonlySet<string>): void {
    for (const [key, refused] of this.#rejected) {
      if (refused.typeUrl === typeUrl && !listed.has(refused.name)) this.#rejected.delete(key);
    }
  }

  /** Keeps why resources were refused. */
  remember(problems: readonly ConfigProblem[]): void {
    const atMs = (this.options.now ?? Date.now)();
    for (const { resourceType, resourceName, path, message } of problems) {
      if (resourceName === '') continue;
      const text = path === '' ? message : `${path}: ${message}`;
      const typeUrl = resourceType as XdsTypeUrl;
      this.#rejected.set(`${typeUrl}/${resourceName}`, { typeUrl, name: resourceName, message: text, atMs });
    }
  }

  /** The problems that somebody was told of. */
  #settle(batch: readonly PendingUpdate[], problems: readonly ConfigProblem[]): Set<ConfigProblem> {
    const claimed = new Set<ConfigProblem>();
    for (const { change, settle } of batch) {
      if (settle === undefined) continue;
      const names = new Set(change.upserts.map(({ name }) => name));
      const own = problems.filter(
        ({ resourceType, resourceName }) =>
          resourceName === '' || (resourceType === change.typeUrl && names.has(resourceName)),
      );
      for (const problem of own) claimed.add(problem);
      settle(own);
    }
    return claimed;
  }
}
