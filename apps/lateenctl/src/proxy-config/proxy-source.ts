// Proxy configuration: where it is read: the sidecar itself, what Pilot sent it, or a dump in a file.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readSubjectAltNames } from '@lateen/identity/plain';
import type { ControlPlane } from '../mesh/control-plane.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { type AdminPod, sidecarAdminJson } from '../mesh/sidecar-admin.js';
import { CliError } from '../output/cli-error.js';
import { child, children, type Json, readConfigDump, text } from './config-dump.js';

/** Answers in the shapes of Envoy's admin API. */
export interface ProxySource {
  /** Where a dump comes from that holds no state of the sidecar's own; undefined for the sidecar itself. */
  readonly place?: string;
  /** `/config_dump?include_eds` */
  dump(): Promise<unknown>;
  /** `/clusters?format=json` */
  clusters(): Promise<unknown>;
  /** `/certs` */
  certs(): Promise<unknown>;
}

/** What was asked for is not in a dump. */
export class NotInDumpError extends CliError {
  constructor(place: string, what: string) {
    super(`${place}: there is no ${what} in it; ask the sidecar, on its own machine`);
  }
}

/** The sidecar's admin API. */
export function sidecarSource(pod: AdminPod): ProxySource {
  return {
    dump: () => sidecarAdminJson(pod, '/config_dump?include_eds'),
    clusters: () => sidecarAdminJson(pod, '/clusters?format=json'),
    certs: () => sidecarAdminJson(pod, '/certs'),
  };
}

/** What Pilot last sent to the sidecar; a sidecar's own state is not in it. */
export function pilotSource(controlPlane: ControlPlane, pod: AdminPod): ProxySource {
  const proxyId = encodeURIComponent(`${pod.name}.${pod.namespace}`);
  return dumpSource(() => pilotDebug(controlPlane, `/debug/config_dump?proxyID=${proxyId}`), 'what pilot sent');
}

/** A dump that was kept in a file: `lateenctl proxy-config all POD -o json`, or any Envoy's. */
export function fileSource(file: string): ProxySource {
  return dumpSource(async () => {
    let content: string;
    try {
      content = readFileSync(file === '-' ? 0 : file, 'utf8');
    } catch (error) {
      throw new CliError(`cannot read ${file}: ${(error as Error).message}`);
    }
    let dump: unknown;
    try {
      dump = JSON.parse(content);
    } catch (error) {
      throw new CliError(`${file} is not JSON: ${(error as Error).message}`);
    }
    if (children(dump, 'configs').length > 0) return dump;
    throw new CliError(
      `${file} is no config dump: it has no \`configs\`; make one with \`proxy-config all POD -o json\``,
    );
  }, file);
}

function dumpSource(dump: () => Promise<unknown>, name: string): ProxySource {
  return {
    place: name,
    dump,
    clusters: async () => ({ cluster_statuses: endpointsOf(await dump()) }),
    certs: async () => certificatesOf(await dump(), name),
  };
}

/** The load assignments of a dump in the shape of `/clusters`; of health it says what the control plane said. */
function endpointsOf(dump: unknown): Json[] {
  const { clusters, endpoints } = readConfigDump(dump);
  const inline = clusters.map((cluster) => child(cluster, 'load_assignment'));
  // A sidecar lists the endpoints of static clusters in both places.
  const byName = new Map([...inline, ...endpoints].map((each) => [text(each, 'cluster_name'), each]));
  byName.delete('');
  return [...byName.values()].map((assignment) => ({
    name: text(assignment, 'cluster_name'),
    host_statuses: children(assignment, 'endpoints').flatMap((locality) =>
      children(locality, 'lb_endpoints').map((endpoint) => ({
        address: child(endpoint, 'endpoint', 'address'),
        health_status: { eds_health_status: text(endpoint, 'health_status') || 'HEALTHY' },
      })),
    ),
  }));
}

/** The secrets of a dump in the shape of `/certs`. */
function certificatesOf(dump: unknown, name: string): Json {
  const sections = children(dump, 'configs').filter((each) => text(each, '@type').endsWith('.SecretsConfigDump'));
  if (sections.length === 0) {
    throw new NotInDumpError(name, 'secret');
  }
  const secrets = sections.flatMap((section) =>
    ['static_secrets', 'dynamic_active_secrets'].flatMap((list) =>
      children(section, list).map((each) => child(each, 'secret')),
    ),
  );
  const inline = (source: Json) => {
    const pem = Buffer.from(text(source, 'inline_bytes'), 'base64').toString() || text(source, 'inline_string');
    return [...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([block]) =>
      details(block),
    );
  };
  return {
    certificates: secrets.map((secret) => ({
      ca_cert: inline(child(secret, 'validation_context', 'trusted_ca')),
      cert_chain: inline(child(secret, 'tls_certificate', 'certificate_chain')),
    })),
  };
}

function details(pem: string): Json {
  const certificate = new X509Certificate(pem);
  return {
    serial_number: certificate.serialNumber.toLowerCase(),
    subject_alt_names: readSubjectAltNames(certificate.raw).uris.map((uri) => ({ uri })),
    valid_from: new Date(certificate.validFrom).toISOString(),
    expiration_time: new Date(certificate.validTo).toISOString(),
  };
}
