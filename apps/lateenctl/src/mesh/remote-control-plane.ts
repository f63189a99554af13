// Mesh: a control plane by its addresses and a client certificate from files: nothing of it has to run on this machine.

import { readFileSync } from 'node:fs';
import { identityFromPem, StaticIdentity, UntrustedChainError } from '@lateen/identity/plain';
import { UnreachableError, UsageError } from '../output/cli-error.js';
import { ADMIN_SERVICES, type AdminEndpoint, type AdminService, type ControlPlane } from './control-plane.js';

/** As the options of the command line, or the LATEEN_ variables, say. */
export interface RemoteOptions {
  readonly galley?: string;
  readonly pilot?: string;
  readonly citadel?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const DEFAULT_ADMIN_PORT = 15016;

/** @throws UsageError for what is missing, no address or no such file; UnreachableError for a certificate of other roots */
export function remoteControlPlane(options: RemoteOptions): ControlPlane {
  const endpoints = new Map(ADMIN_SERVICES.map((service) => [service, parseEndpoint(options, service)]));
  const identity = readIdentity(options);
  return {
    endpoint: (service) => {
      const endpoint = endpoints.get(service);
      if (endpoint !== undefined) return endpoint;
      const variable = `LATEEN_${service.toUpperCase()}`;
      throw new UsageError(
        `this command asks ${service}: say where it is with --${service} HOST[:PORT] (or ${variable})`,
      );
    },
    identity: () => identity,
    advice: (service) => `is --${service} right, and does that machine let us in?`,
  };
}

/** A service that was named by address. */
export interface RemoteEndpoint extends AdminEndpoint {
  readonly service: AdminService;
}

/** @throws UsageError for what is no address */
export function namedEndpoints(options: RemoteOptions): readonly RemoteEndpoint[] {
  return ADMIN_SERVICES.flatMap((service) => {
    const endpoint = parseEndpoint(options, service);
    return endpoint === undefined ? [] : [{ service, ...endpoint }];
  });
}

function parseEndpoint(options: RemoteOptions, service: AdminService): AdminEndpoint | undefined {
  const text = options[service];
  if (text === undefined) return undefined;
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[3] ?? DEFAULT_ADMIN_PORT);
  const address = match?.[1] ?? match?.[2];
  if (address === undefined || port < 1 || port > 65_535) {
    throw new UsageError(`--${service} ${text}: expected HOST or HOST:PORT, IPv6 addresses in brackets`);
  }
  return { address, port };
}

const FILES = { ca: 'trust roots', cert: 'client certificate', key: 'key of the client certificate' } as const;

function readIdentity(options: RemoteOptions): StaticIdentity {
  const missing = (Object.keys(FILES) as (keyof typeof FILES)[]).filter((name) => options[name] === undefined);
  if (missing.length > 0) {
    const wanted = missing.map((name) => `--${name} FILE (${FILES[name]}, or LATEEN_${name.toUpperCase()})`).join(', ');
    throw new UsageError(`a control plane by address needs ${wanted} too`);
  }
  const read = (name: keyof typeof FILES) => {
    const file = options[name]!;
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      throw new UsageError(`cannot read the ${FILES[name]}, ${file}: ${(error as Error).message}`);
    }
  };
  const pem = { keyPem: read('key'), certChainPem: read('cert'), rootsPem: read('ca') };
  try {
    return new StaticIdentity(identityFromPem(pem));
  } catch (error) {
    const message = `${options.cert}, ${options.key} and ${options.ca} cannot be used together: ${(error as Error).message}`;
    // Whose the files are is a matter of the mesh; that they are no certificates, of the command line.
    throw error instanceof UntrustedChainError ? new UnreachableError(message) : new UsageError(message);
  }
}
