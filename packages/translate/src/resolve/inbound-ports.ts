// Resolve: the ports at which a workload takes calls, with their mutual TLS mode.

import { type ConnectionPoolSettings, isHttpProtocol, type PortProtocol, protocolOfPort } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, Workload } from '../model.js';
import type { TerminatedTls } from './gateway-tls.js';
import { isTcpProtocol, type MeshService, meshIndex, type ServedPort } from './mesh-index.js';
import { boundAddress, unusableBind } from './own-listeners.js';
import { type EffectiveMtlsMode, effectiveMtlsMode } from './peer-authentication.js';
import { POD, type TakingPort, takingPorts } from './sidecars.js';

export interface InboundPort {
  /** Port at the pod's address. */
  readonly port: number;
  /** Where the application listens: an address of its host, or a socket, whose port is 0. */
  readonly appAddress: string;
  readonly appPort: number;
  readonly mtlsMode: EffectiveMtlsMode;
  /** How its connections are served; `any`: what it is, the first bytes tell. */
  readonly kind: 'http' | 'tcp' | 'any';
  /** What its application speaks, as the first service that leads here says, or the port's own name. */
  readonly protocol: PortProtocol;
  /** Services that lead here, by hostname; none for a port that no service has. */
  readonly services: readonly MeshService[];
  /** Port of the first of these services; the workload's own where there is none. */
  readonly servicePort: number;
  /** Limits for calls to the application. */
  readonly pool: ConnectionPoolSettings | undefined;
  /** The address that it is listened on. */
  readonly ip: string;
  /** TLS of clients outside of the mesh that is ended here; there is no other way in then. */
  readonly tls: TerminatedTls | undefined;
  /** It has no listener of its own: connections to it come by the one that they are led to. */
  readonly captured: boolean;
  /** Connections go on to the address that they were going to, and to no other. */
  readonly goesOn: boolean;
}

/**
 * The ports of a workload that can be served, in order. Those of services that cannot be are told by the mesh index.
 *
 * @param intercepted connections are led to its proxy
 */
export function resolveInboundPorts(
  snapshot: MeshSnapshot,
  workload: Workload,
  intercepted = false,
): { readonly ports: readonly InboundPort[]; readonly problems: readonly Problem[] } {
  const ports: InboundPort[] = [];
  const problems: Problem[] = [];
  const served = meshIndex(snapshot).servedBy.get(workload) ?? [];
  for (const taking of [...takingPorts(snapshot, workload)].sort((a, b) => a.port - b.port)) {
    const { port, appPort, name, pool, bind, redirected, uncaptured } = taking;
    // Where pods share the addresses of a machine, their applications listen on loopback.
    const ofPod = intercepted ? workload.address : '127.0.0.1';
    const appAddress = taking.appAddress === POD ? ofPod : taking.appAddress;
    const captured = intercepted && !uncaptured;
    const subject = `Workload/${workload.namespace}/${workload.name}`;
    const ip = boundAddress(workload.address, bind, workload.address);
    if (ip === undefined) {
      problems.push(unusableBind(subject, bind, port, workload.address));
      continue;
    }
    if (ports.at(-1)?.port === port) {
      const message = `port ${port} is declared twice; the first one counts`;
      problems.push({ code: 'conflict-inbound-listener', severity: 'warning', metric: METRIC, subject, message });
      continue;
    }
    const leading = served.filter((candidate) => candidate.port.targetPort === port);
    const mtlsMode = effectiveMtlsMode(snapshot, workload, port);
    const tls = endedTls(taking, mtlsMode, subject, problems);
    const appProtocol = tls === undefined ? taking.appProtocol : (WITHOUT_TLS[taking.appProtocol] ?? 'tcp');
    const kind = kindOf(leading, { ...taking, appProtocol });
    if (kind === undefined) {
      if (leading.length > 0) continue; // told with the service
      const message = `port ${port} (${name}) is ${protocolOfPort({ name, port, appProtocol })}: no listener is made for it, as UDP is not proxied`;
      problems.push({ code: 'unsupported-protocol', severity: 'warning', subject, message });
      continue;
    }
    // What a service says of TLS is what comes here, not what goes on.
    const ofKind = tls === undefined ? leading.filter((candidate) => isOfKind(candidate, kind)) : leading;
    const other = ofKind.length === 0 ? undefined : leading.find((candidate) => !ofKind.includes(candidate));
    if (other !== undefined) {
      const message = `port ${port} is ${WORDS[kind]} for ${ofKind[0]!.service.hostname} and ${other.port.protocol} for ${other.service.hostname}; it is served as ${WORDS[kind]}. Give both service ports the same protocol`;
      problems.push({ code: 'conflict-inbound-listener', severity: 'warning', metric: METRIC, subject, message });
    }
    ports.push({
      port,
      appAddress,
      appPort,
      kind,
      protocol: appProtocol === '' && ofKind[0] ? ofKind[0].port.protocol : protocolOfPort({ name, port, appProtocol }),
      mtlsMode,
      services: [...new Set(ofKind.map(({ service }) => service))],
      servicePort: ofKind[0]?.port.port ?? port,
      pool,
      ip,
      tls,
      captured,
      goesOn:
        captured && !redirected && appPort === port && snapshot.meshConfig.inboundTrafficPolicy?.mode !== 'LOCALHOST',
    });
  }
  return { ports, problems };
}

/** What comes out of TLS, by the protocol of the port. */
const WITHOUT_TLS: Readonly<Record<string, string>> = { https: 'http', tls: 'tcp' };

/** As in Istio a Sidecar's TLS is for a port at which PeerAuthentication has turned off that of the mesh. */
function endedTls(
  { port, tls }: TakingPort,
  mode: EffectiveMtlsMode,
  subject: string,
  problems: Problem[],
): TerminatedTls | undefined {
  if (tls === undefined) return undefined;
  if (mode === 'DISABLE') return { settings: tls, credentials: [], rootsCredential: undefined };
  const message = `\`ingress.tls\` of port ${port} is not in effect: the port takes mutual TLS of the mesh (${mode}). Turn that off by a PeerAuthentication with portLevelMtls of mode DISABLE for it`;
  problems.push({ code: 'unused-ingress-tls', severity: 'warning', subject, message });
  return undefined;
}

const WORDS = { http: 'HTTP', tcp: 'TCP', any: 'of no said protocol' } as const;

/** HTTP goes to a port of HTTP that says so, or says nothing. */
function isOfKind({ port: { http, tcp, protocol } }: ServedPort, kind: InboundPort['kind']): boolean {
  if (kind === 'any') return protocol === 'auto';
  return kind === 'http' ? http : tcp;
}

/**
 * HTTP where a Sidecar or any service says so, else whatever comes where one says nothing, else TCP; without services the
 * port's own name decides. Undefined: it cannot be served.
 */
function kindOf(leading: readonly ServedPort[], own: TakingPort): InboundPort['kind'] | undefined {
  if (own.appProtocol !== '') return kindOfProtocol(protocolOfPort(own));
  const kinds = new Set(leading.map(({ port }) => kindOfProtocol(port.protocol)));
  if (leading.length > 0) return (['http', 'any', 'tcp'] as const).find((kind) => kinds.has(kind));
  return kindOfProtocol(protocolOfPort(own));
}

function kindOfProtocol(protocol: PortProtocol): InboundPort['kind'] | undefined {
  if (protocol === 'auto') return 'any';
  if (isTcpProtocol(protocol)) return 'tcp';
  return isHttpProtocol(protocol) ? 'http' : undefined;
}

const METRIC = 'pilot_conflict_inbound_listener';
