// Decide: which policy of access rules a request matches, by the core's own index of them.

import { type CompiledRules, type Core, compileRules, ProblemList } from '@lateen/filters-wasm';
import type { RBAC } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import { RefusedConfigurationError } from './refused-configuration.js';

/** The connection that a request comes by. */
export interface RuledConnection {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;
  /** SPIFFE id of the client's certificate; undefined: it shows none. */
  readonly identity: string | undefined;
  readonly secure: boolean;
  /** That the client asked for; empty: none. */
  readonly serverName: string;
}

/** A place in the core's memory for a connection. */
export function createRuledConnection(core: Core, connection: RuledConnection): number {
  const { remoteAddress, localAddress, localPort, identity, secure, serverName } = connection;
  return core.connections.create({
    remoteAddress,
    tls: secure,
    mutualTls: identity !== undefined,
    xfcc: '',
    principal: identity ?? '',
    peer: { localAddress, localPort, serverName, names: identity === undefined ? [] : [identity] },
  });
}

/** What rules are asked about: the parsed request at a listener, or nothing but a connection. */
export interface RuledSubject {
  readonly kind: 'http' | 'network';
  /** The listener's place in the core's memory; of a connection 0. */
  readonly listener: number;
  /** Of the connection, from `createRuledConnection`. */
  readonly record: number;
  readonly secure: boolean;
}

/**
 * The first policy by name that matches; undefined where none does.
 *
 * @throws RefusedConfigurationError where the proxy would refuse the rules
 */
export function matchingPolicy(core: Core, rules: RBAC, subject: RuledSubject): string | undefined {
  const { kind, listener, record, secure } = subject;
  const { bytes, policyNames } = compiledRules(core, rules, kind);
  // Nobody else's rules are in this core: what was asked before makes room.
  core.rbac.retain(new Set(), clockMs);
  clockMs += LONGER_THAN_KEPT_MS;
  core.rbac.retain(new Set(), clockMs);
  const place = core.rbac.intern(bytes, clockMs);
  if (place === undefined) throw new Error(`rules of ${bytes.length} bytes have no room in the core`);
  return policyNames[core.wasm.checkRules(place.offset, place.serial, listener, record, secure ? 1 : 0)];
}

/** Messages never change: the same rules are asked about many requests. */
const known = new WeakMap<RBAC, CompiledRules>();

function compiledRules(core: Core, rules: RBAC, kind: RuledSubject['kind']): CompiledRules {
  const problems = new ProblemList('Listener', '');
  const compiled = known.get(rules) ?? compileRules(problems, 'rules', rules, kind, core.rulesHash);
  if (problems.problems.length > 0) throw new RefusedConfigurationError(problems.problems);
  known.set(rules, compiled);
  return compiled;
}

/** Retired rules stay for two minutes. */
const LONGER_THAN_KEPT_MS = 600_000;
/** No clock: it only goes on. */
let clockMs = 0;
