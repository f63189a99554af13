// CNI plugin: what a runtime says by environment and standard input, and what it is answered (CNI specification 1.1.0).

/** The configuration of this plugin in a network's list. */
export interface NetworkConfig {
  readonly cniVersion: string;
  readonly name: string;
  /** What the plugins before this one have made; handed on as it is. */
  readonly prevResult?: { readonly ips?: readonly { readonly address?: string }[] } & Readonly<Record<string, unknown>>;
  /** Where the API server is and who this plugin is there. */
  readonly kubeconfig: string;
  readonly excludeNamespaces: readonly string[];
  /** Where the DaemonSet runs, whose own pods may start without an API server to ask. */
  readonly podNamespace: string;
  readonly apiTimeoutSeconds: number;
}

/** Versions that this plugin speaks; it changes no result, so that all with lists of plugins do. */
export const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
const NEWEST = '1.1.0';

/** Codes of the specification; from 100 on they are the plugin's own. */
export const CODES = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  undecodable: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  notRedirected: 100,
} as const;

/** What a runtime gets to read instead of a result. */
export class CniError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export function errorOutput(error: CniError, cniVersion: string): string {
  return JSON.stringify({ cniVersion, code: error.code, msg: error.message });
}

export function versionOutput(): string {
  return JSON.stringify({ cniVersion: NEWEST, supportedVersions: SUPPORTED_VERSIONS });
}

/** The result of ADD: that of the plugins before. */
export function resultOutput({ cniVersion, prevResult }: NetworkConfig): string {
  return JSON.stringify({ ...(prevResult ?? {}), cniVersion });
}

/** @throws CniError */
export function parseNetworkConfig(text: string): NetworkConfig {
  let given: Record<string, unknown>;
  try {
    given = JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new CniError(CODES.undecodable, `the network configuration is not JSON: ${(error as Error).message}`);
  }
  const cniVersion = String(given.cniVersion ?? '0.1.0');
  if (!SUPPORTED_VERSIONS.some((version) => version === cniVersion)) {
    throw new CniError(
      CODES.incompatibleVersion,
      `CNI ${cniVersion} is not supported; this plugin speaks ${SUPPORTED_VERSIONS.join(', ')}`,
    );
  }
  if (typeof given.kubeconfig !== 'string') {
    throw new CniError(
      CODES.invalidConfig,
      'the network configuration names no "kubeconfig"; lateen-cni install writes one',
    );
  }
  const namespaces = given.exclude_namespaces ?? [];
  if (!Array.isArray(namespaces)) throw new CniError(CODES.invalidConfig, '"exclude_namespaces" is not a list');
  return {
    cniVersion,
    name: String(given.name ?? ''),
    prevResult: given.prevResult as NetworkConfig['prevResult'],
    kubeconfig: given.kubeconfig,
    excludeNamespaces: namespaces.map(String),
    podNamespace: String(given.pod_namespace ?? 'istio-system'),
    apiTimeoutSeconds: Number(given.api_timeout_seconds ?? 30),
  };
}

/** CNI_ARGS, as `A=B;C=D`. */
export function parseArgs(text: string): Readonly<Record<string, string>> {
  const pairs = text.split(';').flatMap((pair): [string, string][] => {
    const equals = pair.indexOf('=');
    return equals < 0 ? [] : [[pair.slice(0, equals), pair.slice(equals + 1)]];
  });
  return Object.fromEntries(pairs);
}
