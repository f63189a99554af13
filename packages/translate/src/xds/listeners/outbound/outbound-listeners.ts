// Build: the outbound listeners that a sidecar binds: for the addresses that stand for services, and those of its Sidecar.

import { isHttpProtocol, type PortProtocol } from '@lateen/istio-config';
import type { Problem } from '../../../model.js';
import type { OutboundAddress, ProxyView } from '../../../proxy-view.js';
import type { OwnOutbound } from '../../../resolve/own-listeners.js';
import { forwardsHosts, goesWhereRequestsSay } from '../../clusters/forward-hosts.js';
import { forwardProxyRouteName } from '../../names.js';
import { outboundTargets, ownTargets } from '../../routes/tcp-destinations.js';
import type { HttpAbilities } from '../http-filters.js';
import type { ListenerPlan } from '../listener-plan.js';
import { toUnknown } from './captured-listeners.js';
import { outboundPlan } from './outbound-plan.js';

/** A listener that takes requests alone. */
export function httpListener(
  view: ProxyView,
  ip: string,
  port: number,
  rds: string,
  abilities: HttpAbilities,
): ListenerPlan {
  return outboundPlan(view, { ip, port, http: { rds, abilities }, httpOnly: true, targets: [] });
}

function isTls(protocol: PortProtocol): boolean {
  return protocol === 'tls' || protocol === 'https';
}

/** A rule of any host may lead to a wildcard. */
function requestAbilities({ scope }: ProxyView, protocol: PortProtocol): HttpAbilities {
  return { forwards: forwardsHosts(scope), grpcWeb: protocol === 'grpc-web' };
}

/** The listener for a port of a service, by what the port says of its protocol. */
export function outboundPortListener(
  view: ProxyView,
  { address: ip, port: meshPort, service }: OutboundAddress,
  problems: Problem[],
): ListenerPlan | undefined {
  const { port, protocol, tcp } = meshPort;
  // Nothing in plain bytes says which host of a wildcard they are for.
  if (tcp && !isTls(protocol) && goesWhereRequestsSay(service, false)) return undefined;
  const abilities = requestAbilities(view, protocol);
  const rds = String(port);
  if (!tcp && protocol !== 'auto') return httpListener(view, ip, port, rds, abilities);
  const targets = outboundTargets(view.scope, service, meshPort, problems);
  return outboundPlan(view, { ip, port, http: protocol === 'auto' ? { rds, abilities } : undefined, targets });
}

/**
 * The listener that a Sidecar has at an address of its own, by what it says that callers speak; undefined where no
 * connection leads anywhere.
 *
 * @param forwardAbilities of forward proxies
 */
export function ownOutboundListener(
  view: ProxyView,
  own: OwnOutbound,
  forwardAbilities: HttpAbilities,
  problems: Problem[],
): ListenerPlan | undefined {
  const { ip, port, protocol, forwardProxy } = own;
  if (forwardProxy) return httpListener(view, ip, port, forwardProxyRouteName(port), forwardAbilities);
  const captured = own.captured && view.interception !== undefined;
  const otherwise = captured ? toUnknown(view) : undefined;
  const http = { rds: String(port), abilities: requestAbilities(view, protocol) };
  const shape = { ip, port, captured, otherwise };
  if (isHttpProtocol(protocol)) return outboundPlan(view, { ...shape, http, httpOnly: true, targets: [] });
  const targets = ownTargets(view.scope, own, problems);
  if (protocol === 'auto') return outboundPlan(view, { ...shape, http, targets });
  return targets.length === 0 ? undefined : outboundPlan(view, { ...shape, targets });
}
