// Transport: checks a TLS peer after every handshake, resumed ones included, before the first byte is used.

import { createHash, X509Certificate } from 'node:crypto';
import { BlockList, isIP, isIPv6 } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { readSubjectAltNames, type SubjectAltNames } from '@lateen/identity';
import {
  type CertificateValidationContext,
  SubjectAltNameMatcher_SanType as SanType,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';

/** What a verified certificate says. */
export interface PeerCertificate {
  /** The one URI name, empty where it has none. */
  readonly principal: string;
  readonly names: SubjectAltNames;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the certificate, lower-case hexadecimal. */
  readonly hash: string;
  /** SHA-256 of the public key in its DER form, in base64. */
  readonly keyHash: string;
  readonly subject: string;
}

/** What a peer showed in its handshake, from whichever kind of socket. */
export interface ShownPeer {
  /** Why its chain does not verify; undefined where it does. */
  verifyError(): string | undefined;
  /** DER of its certificate. */
  certificate(): Buffer | undefined;
  /** DER of all certificates that it has sent, its own first; of a resumed session its own alone. */
  chain(): readonly Buffer[];
  resumed(): boolean;
}

/** Of a Node socket whose handshake is done. */
export function shownBySocket(socket: TLSSocket): ShownPeer {
  return {
    verifyError: () => {
      if (socket.authorized) return undefined;
      const reason = socket.authorizationError;
      return reason?.message ?? String(reason ?? 'no certificate');
    },
    certificate: () => socket.getPeerX509Certificate()?.raw,
    chain: () => {
      const sent: Buffer[] = [];
      for (let each = socket.getPeerX509Certificate(); each !== undefined; each = each.issuerCertificate)
        sent.push(each.raw);
      return sent;
    },
    resumed: () => socket.isSessionReused(),
  };
}

/** What is wrong with a peer, as Envoy counts it: it shows no certificate, one that does not verify, or one of somebody else. */
export const PEER_FAULTS = ['no_cert', 'error', 'san', 'cert_hash'] as const;
export type PeerFault = (typeof PEER_FAULTS)[number];

/** Thrown where a peer is not to be talked to; the message is for the log. */
export class PeerRefused extends Error {
  constructor(
    message: string,
    readonly fault: PeerFault = 'error',
  ) {
    super(message);
    this.name = 'PeerRefused';
  }
}

type NameType = 'uri' | 'dns' | 'ip' | 'email';

interface NameRule {
  readonly type: NameType;
  readonly matches: (name: string) => boolean;
}

/** The name rules of a validation context; none means that any one identity of the trust roots is welcome. */
export type NameRules = readonly NameRule[];

/** `problem` is told of rules that cannot be acted on. */
export function compileNameRules(
  context: CertificateValidationContext | undefined,
  problem: (path: string, message: string) => void,
): NameRules {
  const rules: NameRule[] = [];
  context?.matchTypedSubjectAltNames.forEach(({ sanType, matcher }, index) => {
    const path = `match_typed_subject_alt_names[${index}]`;
    const matches = compileStringMatcher(matcher);
    if (matches === undefined) problem(`${path}.matcher`, 'must be exact, prefix, suffix or contains');
    else if (sanType === SanType.URI) rules.push({ type: 'uri', matches });
    else if (sanType === SanType.IP_ADDRESS) rules.push({ type: 'ip', matches: matchAddress(matcher, matches) });
    else if (sanType === SanType.EMAIL) rules.push({ type: 'email', matches });
    else if (sanType === SanType.DNS) rules.push({ type: 'dns', matches: matchDnsName(matcher, matches) });
    else problem(`${path}.san_type`, 'must be URI, DNS, IP_ADDRESS or EMAIL');
  });
  context?.matchSubjectAltNames.forEach((matcher, index) => {
    const matches = compileStringMatcher(matcher);
    if (matches === undefined)
      problem(`match_subject_alt_names[${index}]`, 'must be exact, prefix, suffix or contains');
    else for (const type of NAME_TYPES) rules.push({ type, matches });
  });
  return rules;
}

const NAME_TYPES: readonly NameType[] = ['uri', 'dns', 'ip', 'email'];

/** As in Envoy: an exact name of a host is also taken where the certificate has it under a wildcard of one label. */
function matchDnsName(matcher: StringMatcher | undefined, matches: (name: string) => boolean): NameRule['matches'] {
  if (matcher?.matchPattern.case !== 'exact') return matches;
  const wanted = matcher.matchPattern.value.toLowerCase();
  const parent = wanted.slice(wanted.indexOf('.'));
  return (raw) => {
    const name = raw.toLowerCase();
    return name === wanted || (name.startsWith('*.') && wanted.includes('.', 1) && name.slice(1) === parent);
  };
}

/** An address may be written in several ways. */
function matchAddress(matcher: StringMatcher | undefined, matches: (name: string) => boolean): NameRule['matches'] {
  if (matcher?.matchPattern.case !== 'exact') return matches;
  const wanted = matcher.matchPattern.value;
  const family = isIPv6(wanted) ? 'ipv6' : 'ipv4';
  if (isIP(wanted) === 0) return matches;
  const list = new BlockList();
  list.addAddress(wanted, family);
  return (name) => isIPv6(name) === (family === 'ipv6') && list.check(name, family);
}

/** Certificates and public keys of which a peer must have one; where both are empty, any will do. */
export interface CertificatePins {
  readonly hashes: ReadonlySet<string>;
  readonly keyHashes: ReadonlySet<string>;
}

export const NO_PINS: CertificatePins = { hashes: new Set(), keyHashes: new Set() };

/** `problem` is told of pins that no certificate could satisfy. */
export function compilePins(
  context: CertificateValidationContext | undefined,
  problem: (path: string, message: string) => void,
): CertificatePins {
  if (context === undefined) return NO_PINS;
  const hashes = context.verifyCertificateHash.map((hash) => hash.replaceAll(':', '').toLowerCase());
  hashes.forEach((hash, index) => {
    if (!/^[0-9a-f]{64}$/.test(hash)) problem(`verify_certificate_hash[${index}]`, 'must be a SHA-256 in hexadecimal');
  });
  context.verifyCertificateSpki.forEach((hash, index) => {
    const bytes = Buffer.from(hash, 'base64');
    if (bytes.length !== 32) problem(`verify_certificate_spki[${index}]`, 'must be a SHA-256 in base64');
  });
  return { hashes: new Set(hashes), keyHashes: new Set(context.verifyCertificateSpki) };
}

function compileStringMatcher(matcher: StringMatcher | undefined): ((text: string) => boolean) | undefined {
  const pattern = matcher?.matchPattern;
  if (pattern === undefined) return undefined;
  const fold = (text: string): string => (matcher?.ignoreCase ? text.toLowerCase() : text);
  switch (pattern.case) {
    case 'exact':
      return (text) => fold(text) === fold(pattern.value);
    case 'prefix':
      return (text) => fold(text).startsWith(fold(pattern.value));
    case 'suffix':
      return (text) => fold(text).endsWith(fold(pattern.value));
    case 'contains':
      return (text) => fold(text).includes(fold(pattern.value));
    default:
      return undefined;
  }
}

// Certificates that were seen lately; parsing the same one at each handshake would cost more than looking it up.
const parsed = new Map<string, PeerCertificate>();
const MAX_PARSED = 1024;

/**
 * The peer's certificate, after the verdict of the chain verification, its dates and its names were checked. Node's own
 * checks do not suffice: `checkServerIdentity` is skipped for a resumed session, which also keeps the verdict of its
 * first handshake, and a TLS 1.3 session resumed without a client certificate counts as verified.
 * @param remembered what the peer showed when the session now resumed was made: on the connecting side OpenSSL does not
 *   give the certificate of a resumed session, and resuming proves that it is the same peer
 * @throws PeerRefused
 */
export function checkPeer(
  shown: ShownPeer,
  { nameRules: rules, pins }: { readonly nameRules: NameRules; readonly pins: CertificatePins },
  remembered?: PeerCertificate,
): PeerCertificate {
  const reason = shown.verifyError();
  if (reason !== undefined) throw new PeerRefused(`certificate verification failed: ${reason}`);
  const certificate = shown.certificate();
  const peer = certificate === undefined && shown.resumed() ? remembered : parsePeer(certificate);
  if (peer === undefined) throw new PeerRefused('no certificate was presented', 'no_cert');
  const now = Date.now();
  if (now < peer.notBeforeMs || now > peer.notAfterMs) {
    const [from, to] = [new Date(peer.notBeforeMs).toISOString(), new Date(peer.notAfterMs).toISOString()];
    throw new PeerRefused(`the certificate is valid from ${from} to ${to}`);
  }
  const { uris, dnsNames, ipAddresses, emails } = peer.names;
  // An identity is one URI name; a certificate with several could be taken for any of them. Plain TLS has none.
  if (uris.length > 1) throw new PeerRefused(`the certificate has ${uris.length} URI names, an identity is one`);
  if (rules.length > 0 && !rules.some((rule) => matchesRule(rule, peer))) {
    const shownNames = [...uris, ...dnsNames, ...ipAddresses, ...emails].join(', ');
    throw new PeerRefused(`none of the names ${shownNames || '(none)'} is expected`, 'san');
  }
  const pinned = pins.hashes.size + pins.keyHashes.size > 0;
  if (pinned && !pins.hashes.has(peer.hash) && !pins.keyHashes.has(peer.keyHash)) {
    throw new PeerRefused(`the certificate ${peer.hash} is not one of those that are taken`, 'cert_hash');
  }
  return peer;
}

const NAMES_OF: Readonly<Record<NameType, (names: SubjectAltNames) => readonly string[]>> = {
  uri: ({ uris }) => uris,
  dns: ({ dnsNames }) => dnsNames,
  ip: ({ ipAddresses }) => ipAddresses,
  email: ({ emails }) => emails,
};

function matchesRule(rule: NameRule, { names }: PeerCertificate): boolean {
  return NAMES_OF[rule.type](names).some(rule.matches);
}

function parsePeer(raw: Buffer | undefined): PeerCertificate | undefined {
  if (raw === undefined) return undefined;
  const key = raw.toString('latin1');
  const known = parsed.get(key);
  if (known !== undefined) return known;
  let names: SubjectAltNames;
  try {
    names = readSubjectAltNames(raw);
  } catch (error) {
    throw new PeerRefused(`the certificate cannot be read: ${(error as Error).message}`);
  }
  const certificate = new X509Certificate(raw);
  const peer: PeerCertificate = {
    principal: names.uris.length === 1 ? names.uris[0]! : '',
    names,
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
    hash: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    keyHash: createHash('sha256')
      .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64'),
    subject: certificate.subject?.split('\n').reverse().join(',') ?? '',
  };
  if (parsed.size >= MAX_PARSED) parsed.clear();
  parsed.set(key, peer);
  return peer;
}
