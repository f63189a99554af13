// Issuance, client side: a fresh key and the signing request for it. The key never leaves the process but to its own file.

import { createPublicKey, generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { DER_TAG, encodeDer, encodePem } from '../der.js';
import type { SpiffeId } from '../spiffe-id.js';

const generate = promisify(generateKeyPair);

export interface KeyAndCsr {
  /** P-256, PKCS#8 PEM. */
  readonly keyPem: string;
  /** PKCS#10 PEM with an empty subject. */
  readonly csrPem: string;
}

// RFC 2986 and RFC 5912.
const OID_EXTENSION_REQUEST = Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e);
const OID_SUBJECT_ALT_NAME = Uint8Array.of(0x55, 0x1d, 0x11);
const OID_ECDSA_WITH_SHA256 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);
const TAG_ATTRIBUTES = 0xa0;
const TAG_DNS = 0x82;
const TAG_URI = 0x86;

/** What to ask for, as Istio's agents do; the authority decides by the proof of identity, not by this. */
export interface RequestedNames {
  readonly spiffeId?: SpiffeId | undefined;
  /** Only services of the control plane are given any. */
  readonly dnsNames?: readonly string[] | undefined;
}

/** Makes a P-256 key and a signing request for it. */
export async function createKeyAndCsr(names: RequestedNames = {}): Promise<KeyAndCsr> {
  const { privateKey } = await generate('ec', { namedCurve: 'P-256' });
  return {
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    csrPem: createCsr(privateKey, names),
  };
}

/** Signs a request for an existing P-256 key. */
export function createCsr(privateKey: KeyObject, { spiffeId, dnsNames = [] }: RequestedNames = {}): string {
  const names = [
    ...(spiffeId === undefined ? [] : [encodeDer(TAG_URI, Buffer.from(spiffeId, 'latin1'))]),
    ...dnsNames.map((name) => encodeDer(TAG_DNS, Buffer.from(name, 'latin1'))),
  ];
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const requestInfo = encodeDer(
    DER_TAG.sequence,
    encodeDer(DER_TAG.integer, Uint8Array.of(0)),
    encodeDer(DER_TAG.sequence),
    publicKey,
    encodeDer(TAG_ATTRIBUTES, ...(names.length === 0 ? [] : [nameAttribute(names)])),
  );
  const signature = sign('sha256', requestInfo, privateKey);
  const request = encodeDer(
    DER_TAG.sequence,
    requestInfo,
    encodeDer(DER_TAG.sequence, encodeDer(DER_TAG.objectId, OID_ECDSA_WITH_SHA256)),
    encodeDer(DER_TAG.bitString, Uint8Array.of(0), signature),
  );
  return encodePem('CERTIFICATE REQUEST', request);
}

function nameAttribute(names: readonly Uint8Array[]): Uint8Array {
  const extension = encodeDer(
    DER_TAG.sequence,
    encodeDer(DER_TAG.objectId, OID_SUBJECT_ALT_NAME),
    encodeDer(DER_TAG.boolean, Uint8Array.of(0xff)),
    encodeDer(DER_TAG.octetString, encodeDer(DER_TAG.sequence, ...names)),
  );
  return encodeDer(
    DER_TAG.sequence,
    encodeDer(DER_TAG.objectId, OID_EXTENSION_REQUEST),
    encodeDer(DER_TAG.set, encodeDer(DER_TAG.sequence, extension)),
  );
}
