// Resolve: the rate limit services that a proxy asks, each with the rules that it is asked about.

import { parseDurationMs, resolveShortHost } from '@lateen/istio-config';
import type { Problem } from '../../model.js';
import { stableJson } from '../../stable-hash.js';
import type { MeshService } from '../mesh-index.js';
import type { EffectiveRateLimit, ExternalRule } from './rate-limits.js';

/** What a proxy asks once for each request that one of the rules is for. */
export interface LimitService {
  /** By this Envoy tells the rules of one service from those of another. */
  readonly stage: number;
  /** Full host name, port. */
  readonly host: string;
  readonly port: number;
  readonly domain: string;
  readonly timeoutMs: number;
  readonly failOpen: boolean;
  /** Of refusals; undefined: the usual one. */
  readonly status: number | undefined;
  /** All answers say what the limits are. */
  readonly tellsLimits: boolean;
  readonly limits: readonly EffectiveRateLimit<ExternalRule>[];
}

/** Envoy's default. */
const DEFAULT_TIMEOUT_MS = 20;
const SPEAKS_GRPC: ReadonlySet<string> = new Set(['grpc', 'http2', 'grpc-web']);
/** Envoy has the stages 0 to 10. */
const MAX_SERVICES = 11;

/** The services in the order of their first rules; what has no room is told. */
export function resolveLimitServices(
  limits: readonly EffectiveRateLimit<ExternalRule>[],
  clusterDomain: string,
): { readonly limitServices: readonly LimitService[]; readonly problems: readonly Problem[] } {
  const services = new Map<string, LimitService>();
  const problems: Problem[] = [];
  for (const limit of limits) {
    const { external, response } = limit.rule;
    const settings = {
      host: resolveShortHost(external.service, limit.namespace, clusterDomain),
      port: external.port,
      domain: external.domain,
      timeoutMs: external.timeout === undefined ? DEFAULT_TIMEOUT_MS : (parseDurationMs(external.timeout) ?? 0),
      failOpen: external.failOpen ?? true,
      status: response?.status,
      tellsLimits: response?.headers === 'ALWAYS',
    };
    const key = stableJson(settings);
    const known = services.get(key);
    if (known === undefined && services.size === MAX_SERVICES) {
      problems.push({
        code: 'too-many-rate-limits',
        severity: 'warning',
        subject: subjectOf(limit),
        message: `rule ${limit.rule.name} is left out: a proxy asks at most ${MAX_SERVICES} rate limit services (with their settings)`,
      });
      continue;
    }
    const stage = known?.stage ?? services.size;
    services.set(key, { stage, ...settings, limits: [...(known?.limits ?? []), limit] });
  }
  return { limitServices: [...services.values()], problems };
}

/** Why a proxy cannot call a service by gRPC; undefined where it can. */
export function whyUnanswered(
  { host, port }: { readonly host: string; readonly port: number },
  destinationByHost: ReadonlyMap<string, MeshService>,
): string | undefined {
  const found = destinationByHost.get(host);
  if (found === undefined) return `no service ${host} is visible here`;
  const itsPort = found.ports.find((each) => each.port === port);
  if (itsPort === undefined) {
    return `service ${host} has no port ${port} (it has ${found.ports.map((each) => each.port).join(', ') || 'none'})`;
  }
  if (SPEAKS_GRPC.has(itsPort.protocol)) return undefined;
  return `port ${port} of service ${host} is not said to speak gRPC; call it grpc, or give it that appProtocol`;
}

/** Services that cannot be asked: requests go on as if they did not answer. */
export function limitServiceProblems(
  services: readonly LimitService[],
  destinationByHost: ReadonlyMap<string, MeshService>,
): Problem[] {
  return services.flatMap((service) => {
    const { limits } = service;
    const why = whyUnanswered(service, destinationByHost);
    if (why === undefined) return [];
    return limits.map(
      (limit): Problem => ({
        code: 'missing-rate-limit-service',
        severity: 'warning',
        subject: subjectOf(limit),
        message: `rule ${limit.rule.name} gets no answer: ${why}`,
      }),
    );
  });
}

function subjectOf({ id }: EffectiveRateLimit<ExternalRule>): string {
  const [namespace, name] = id.split('/');
  return `RateLimit/${namespace}/${name}`;
}
