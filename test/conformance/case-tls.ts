// Conformance, step 1: what a case says of TLS and of PROXY headers: its certificates, pods that serve by them, clients that speak it.

import type { Fields } from './fields.js';

/** A certificate that is made for a case. */
export interface CertificateOfCase {
  readonly name: string;
  /** Who signs it: an authority that is made where a certificate names it; `mesh` is the one of the proxies. */
  readonly authority: string;
  readonly dnsNames: readonly string[];
  readonly uris: readonly string[];
  /** The common name; of the mesh NAMESPACE/SERVICE-ACCOUNT. */
  readonly subject: string;
  readonly key: 'ecdsa' | 'rsa';
  /** It stands in its authority's list. */
  readonly revoked: boolean;
}

/** What both ends of TLS can say. */
interface TlsLimits {
  readonly alpn: readonly string[];
  /** As Node calls them: `TLSv1.2`. */
  readonly minVersion: string | undefined;
  readonly maxVersion: string | undefined;
  /** As OpenSSL writes them. */
  readonly ciphers: string | undefined;
}

/** How a pod serves TLS, where a connection begins with it. */
export interface ServedTls extends TlsLimits {
  readonly certificate: string;
  /** Clients must show a certificate of this authority. */
  readonly clients: string | undefined;
}

/** How a client speaks TLS. */
export interface SentTls extends TlsLimits {
  /** The server name; empty: none. */
  readonly sni: string;
  readonly certificate: string | undefined;
  readonly curves: string | undefined;
}

/** Facts of a handshake by name: `version`, `cipher`, `alpn`, `sni`, `certificate` (of the other end). */
export type TlsFacts = Readonly<Record<string, string>>;

const limitsOf = (fields: Fields): TlsLimits => ({
  alpn: fields.textOrList('alpn') ?? [],
  minVersion: fields.text('minVersion'),
  maxVersion: fields.text('maxVersion'),
  ciphers: fields.text('ciphers'),
});

export function readCertificate(name: string, fields: Fields): CertificateOfCase {
  const key = fields.text('key') ?? 'ecdsa';
  if (key !== 'ecdsa' && key !== 'rsa') throw fields.wrong('`key` must be ecdsa or rsa');
  const certificate = {
    name,
    authority: fields.text('authority') ?? 'servers',
    dnsNames: fields.textOrList('dnsNames') ?? [],
    uris: fields.textOrList('uris') ?? [],
    subject: fields.text('subject') ?? name,
    key: key as 'ecdsa' | 'rsa',
    revoked: fields.flag('revoked') ?? false,
  };
  fields.done();
  return certificate;
}

export function readServedTls(fields: Fields | undefined): ServedTls | undefined {
  if (fields === undefined) return undefined;
  const certificate = fields.text('certificate');
  if (certificate === undefined) throw fields.wrong('`certificate` must name one of `certificates`');
  const served = { ...limitsOf(fields), certificate, clients: fields.text('clients') };
  fields.done();
  return served;
}

/** @param host the server name, where the case gives none */
export function readSentTls(fields: Fields | undefined, host: string): SentTls | undefined {
  if (fields === undefined) return undefined;
  const sent = {
    ...limitsOf(fields),
    sni: fields.text('sni') ?? host,
    certificate: fields.text('certificate'),
    curves: fields.text('curves'),
  };
  fields.done();
  return sent;
}

/** A PROXY header in a word: `V1 192.0.2.7`. */
const PROXY_HEADER = /^V[12] \d+\.\d+\.\d+\.\d+$/;

export function readProxyHeader(fields: Fields): string | undefined {
  const header = fields.text('proxyHeader');
  if (header !== undefined && !PROXY_HEADER.test(header)) {
    throw fields.wrong('`proxyHeader` must be a version and an address of IPv4, as V1 192.0.2.7');
  }
  return header;
}
