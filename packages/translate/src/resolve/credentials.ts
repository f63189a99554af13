// Resolve: the Secrets that a proxy may use, read as Istio reads them: a certificate with its key, trust roots, or both.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Credential, MeshSnapshot, ProxyNode, Workload } from '../model.js';
import { oncePerSnapshot } from './mesh-index.js';

/** A certificate chain and its key, in PEM. */
export interface ServedCertificate {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** Trust roots, in PEM, and the certificates of theirs that are revoked. */
export interface ServedRoots {
  readonly rootsPem: string;
  readonly crlPem: string | undefined;
}

/** What was asked for, or why it cannot be had, in words that hold nothing of a value. */
export type Found<T> = { readonly value: T } | { readonly fault: string };

/** The credentials that one proxy is served, by the name that `credentialName` says. */
export interface Credentials {
  /** Which Secrets these are, or why there are none: equal keys in a snapshot mean equal answers. */
  readonly key: string;
  /** Only what rules that select workloads name may be used. */
  readonly bySelection: boolean;
  certificate(name: string): Found<ServedCertificate>;
  /** Of `NAME-cacert`, or of NAME itself. */
  roots(name: string): Found<ServedRoots>;
}

/** Istio's names of keys in a Secret, in its order of preference. */
const PAIRS = [
  ['cert', 'key'],
  ['tls.crt', 'tls.key'],
] as const;
const ROOTS = ['cacert', 'ca.crt'] as const;
const REVOKED = ['crl', 'ca.crl'] as const;

/** The keys of a Secret that hold what proxies use. */
export const CREDENTIAL_KEYS: readonly string[] = [...PAIRS.flat(), ...ROOTS, ...REVOKED];

/** Companion of a credential that holds the roots which clients are checked with. */
export const ROOTS_SUFFIX = '-cacert';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** What is wrong with PEM certificates, or undefined. The library's own words are left out: they may quote. */
function faultOfCertificates(pem: string): string | undefined {
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) return 'holds no certificate in PEM form';
  const broken = blocks.findIndex((block) => {
    try {
      return new X509Certificate(block).raw.length === 0;
    } catch {
      return true;
    }
  });
  return broken < 0 ? undefined : `holds a certificate that does not parse (number ${broken + 1})`;
}

/** The certificate and key of a Secret. */
export function readCertificatePair({ values }: Pick<Credential, 'values'>): Found<ServedCertificate> {
  const pair = PAIRS.find(([certificate, key]) => values[certificate] !== undefined && values[key] !== undefined);
  if (pair === undefined) return { fault: 'has neither `tls.crt` and `tls.key` nor `cert` and `key`; add a pair' };
  const [chainPem, keyPem] = [values[pair[0]]!, values[pair[1]]!];
  const fault = faultOfCertificates(chainPem);
  if (fault !== undefined) return { fault: `${fault} in \`${pair[0]}\`; write the chain in PEM, the server's first` };
  let belongs: boolean;
  try {
    belongs = new X509Certificate(chainPem).checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return { fault: `holds no private key in PEM form in \`${pair[1]}\`, or one with a passphrase; write a plain one` };
  }
  if (!belongs) return { fault: `has a key in \`${pair[1]}\` that is not that of \`${pair[0]}\`; write the pair anew` };
  return { value: { chainPem, keyPem } };
}

/** The trust roots of a Secret. */
export function readRoots({ values }: Pick<Credential, 'values'>): Found<ServedRoots> {
  const key = ROOTS.find((candidate) => values[candidate] !== undefined);
  if (key === undefined) return { fault: 'has no authorities in `ca.crt` or `cacert`; add them' };
  const rootsPem = values[key]!;
  const fault = faultOfCertificates(rootsPem);
  if (fault !== undefined) return { fault: `${fault} in \`${key}\`; write the authorities in PEM` };
  const crlKey = REVOKED.find((candidate) => values[candidate] !== undefined);
  return { value: { rootsPem, crlPem: crlKey === undefined ? undefined : values[crlKey] } };
}

/** A Secret with what came of reading it, once for as long as it is not applied anew. */
interface ReadCredential {
  readonly pair: Found<ServedCertificate>;
  readonly roots: Found<ServedRoots>;
}

const readCredentials = new WeakMap<Credential, ReadCredential>();

function read(credential: Credential): ReadCredential {
  let result = readCredentials.get(credential);
  if (result === undefined) {
    const { fault } = credential;
    result =
      fault === undefined
        ? { pair: readCertificatePair(credential), roots: readRoots(credential) }
        : { pair: { fault }, roots: { fault } };
    readCredentials.set(credential, result);
  }
  return result;
}

const NOT_FOR_ALL =
  '`credentialName` is for gateways, and for the workloads that a rule selects; add a `workloadSelector`, or write files in `caCertificates`, `clientCertificate` and `privateKey`';
const NOT_WITHOUT_PROXY =
  '`credentialName` is for proxies, and this client has none; write files in `caCertificates`, `clientCertificate` and `privateKey`';

const byName = oncePerSnapshot(
  ({ credentials }) => new Map(credentials.map((each) => [`${each.namespace}/${each.name}`, each])),
);

/** Why a proxy is served no Secrets, or undefined where it is. */
function whyNone(proxy: ProxyNode, workload: Workload | undefined, authenticated: boolean): string | undefined {
  if (proxy.type === 'router' && workload?.gateway !== true) return 'only gateways are served Secrets';
  // Its labels are the node's own word, and by labels rules select who may have a Secret.
  if (workload === undefined) return 'only workloads that the registry knows are served Secrets';
  if (!authenticated) return 'Secrets are served over mutual TLS only, and this proxy has connected in plain text';
  if (workload.serviceAccount !== proxy.serviceAccount) {
    const what = proxy.type === 'router' ? 'gateway' : 'workload';
    return `Secrets of this ${what} are for service account ${workload.serviceAccount || 'none'}, not for ${proxy.serviceAccount || 'none'}`;
  }
  return undefined;
}

/**
 * What a proxy may use: as in Istio the Secrets of its own namespace; a sidecar those that the rules which select its
 * workload name. Only a workload that the registry knows has any, and only where its certificate proves that it is that
 * workload's service account.
 *
 * @param authenticated the proxy has proved by a certificate that it is what its node says
 */
export function resolveCredentials(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  workload: Workload | undefined,
  authenticated: boolean,
): Credentials {
  const none = whyNone(proxy, workload, authenticated);
  const find = (name: string): Credential | undefined => byName(snapshot).get(`${proxy.namespace}/${name}`);
  const of = <T>(name: string, part: (credential: ReadCredential) => Found<T>): Found<T> => {
    if (none !== undefined) return { fault: none };
    const credential = find(name);
    if (credential === undefined) {
      return {
        fault: `there is no Secret ${proxy.namespace}/${name}; apply it in the ${proxy.type === 'router' ? 'gateway' : 'workload'}'s own namespace`,
      };
    }
    const found = part(read(credential));
    return 'value' in found ? found : { fault: `Secret ${proxy.namespace}/${name} ${found.fault}` };
  };
  return {
    key: none ?? `of ${proxy.namespace}`,
    bySelection: proxy.type !== 'router',
    certificate: (name) => of(name, ({ pair }) => pair),
    roots: (name) => {
      // A companion that may not be read need not be there.
      const companion = find(name);
      const own = name.endsWith(ROOTS_SUFFIX) && (companion === undefined || companion.fault !== undefined);
      return of(own ? name.slice(0, -ROOTS_SUFFIX.length) : name, ({ roots }) => roots);
    },
  };
}

function noCredentials(fault: string): Credentials {
  return { key: 'none', bySelection: false, certificate: () => ({ fault }), roots: () => ({ fault }) };
}

/** What a client without a proxy has. */
export const NO_CREDENTIALS: Credentials = noCredentials(NOT_WITHOUT_PROXY);

const NOT_SELECTED = noCredentials(NOT_FOR_ALL);

/** What calls that follow a rule may use: as in Istio a sidecar's rule has to select workloads. */
export function credentialsUnder(
  credentials: Credentials,
  rule: { readonly selectsWorkloads: boolean } | undefined,
): Credentials {
  return credentials.bySelection && rule?.selectsWorkloads !== true ? NOT_SELECTED : credentials;
}
