// Names: the SPIFFE id of a workload, as Istio forms it from namespace and service account.

/** `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`, checked. */
export type SpiffeId = string & { readonly __brand: 'SpiffeId' };

export interface SpiffeIdParts {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A SPIFFE id with what it consists of. */
export interface ParsedSpiffeId extends SpiffeIdParts {
  readonly id: SpiffeId;
}

/** Thrown for text that is not a SPIFFE id of the form that the mesh uses. */
export class SpiffeIdError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SpiffeIdError';
  }
}

// The SPIFFE standard, section 2.3, allows 2048 bytes for the whole id.
const MAX_ID_LENGTH = 2048;
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
// Kubernetes: a namespace is a DNS label; a service account is a DNS subdomain.
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SERVICE_ACCOUNT = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/** True for a DNS label as Kubernetes wants it for a namespace. */
export function isNamespaceName(text: string): boolean {
  return NAMESPACE.test(text);
}

/** True for a DNS subdomain as Kubernetes wants it for a service account. */
export function isServiceAccountName(text: string): boolean {
  return SERVICE_ACCOUNT.test(text);
}

/** Writes a SPIFFE id. @throws SpiffeIdError where a part has characters that would change the meaning of the id */
export function formatSpiffeId(parts: SpiffeIdParts): SpiffeId {
  if (!TRUST_DOMAIN.test(parts.trustDomain)) {
    throw new SpiffeIdError(`trust domain ${quote(parts.trustDomain)} is not made of a-z, 0-9, ".", "-" and "_"`);
  }
  if (!isNamespaceName(parts.namespace)) {
    throw new SpiffeIdError(`namespace ${quote(parts.namespace)} is not a DNS label`);
  }
  if (!isServiceAccountName(parts.serviceAccount)) {
    throw new SpiffeIdError(`service account ${quote(parts.serviceAccount)} is not a DNS subdomain`);
  }
  return `spiffe://${parts.trustDomain}/ns/${parts.namespace}/sa/${parts.serviceAccount}` as SpiffeId;
}

/**
 * Reads a SPIFFE id of the form `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`. The comparison is of exact
 * bytes: no case folding, no percent-decoding, no dot segments (SPIFFE standard, section 2).
 * @throws SpiffeIdError
 */
export function parseSpiffeId(text: string): ParsedSpiffeId {
  if (text.length > MAX_ID_LENGTH) throw new SpiffeIdError(`SPIFFE id is longer than ${MAX_ID_LENGTH} characters`);
  const segments = text.split('/');
  if (segments.length !== 7 || segments[0] !== 'spiffe:' || segments[1] !== '') throw wrongForm(text);
  const [, , trustDomain, ns, namespace, sa, serviceAccount] = segments as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  if (ns !== 'ns' || sa !== 'sa') throw wrongForm(text);
  const id = formatSpiffeId({ trustDomain, namespace, serviceAccount });
  return { id, trustDomain, namespace, serviceAccount };
}

function wrongForm(text: string): SpiffeIdError {
  return new SpiffeIdError(`${quote(text)} is not of the form spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
