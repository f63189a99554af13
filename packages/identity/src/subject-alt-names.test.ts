// Names in certificates: read from DER, exactly one URI name, nothing malformed passes.
import { createPrivateKey, createPublicKey } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createRootCertificate } from './authority/index.js';
import { ECDSA_SHA256, engine, P256, x509 } from './authority/x509-engine.js';
import { DER_TAG, encodeDer } from './der.js';
import { PeerIdentityError, parsePeerSpiffeId, readSubjectAltNames } from './subject-alt-names.js';
import { TestAuthority } from './test-authority.js';
import { readCertificates } from './workload-identity.js';

async function certificateWith(names: { type: 'url' | 'dns' | 'email' | 'ip'; value: string }[]): Promise<Uint8Array> {
  const keys = await engine.subtle.generateKey(P256, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      keys,
      signingAlgorithm: ECDSA_SHA256,
      name: 'CN=x',
      extensions:
        names.length === 0
          ? []
          : [new x509.KeyUsagesExtension(1, true), new x509.SubjectAlternativeNameExtension(names, false)],
    },
    engine,
  );
  return new Uint8Array(certificate.rawData);
}

const ID = 'spiffe://cluster.local/ns/default/sa/reviews';

describe('parsePeerSpiffeId', () => {
  let leaf: Uint8Array;
  beforeAll(async () => {
    const authority = await TestAuthority.create();
    const identity = await authority.issue({ namespace: 'default', serviceAccount: 'reviews' });
    leaf = readCertificates(identity.certChainPem)[0]!.raw;
  });

  it('finds the one URI name', () => {
    expect(parsePeerSpiffeId(leaf)).toBe(ID);
  });

  it('takes DNS names beside it, but not as an identity', async () => {
    const der = await certificateWith([
      { type: 'dns', value: 'reviews.default' },
      { type: 'url', value: ID },
      { type: 'email', value: 'a@b.c' },
      { type: 'ip', value: '10.1.2.3' },
      { type: 'ip', value: 'fd00::1' },
    ]);
    expect(readSubjectAltNames(der)).toEqual({
      uris: [ID],
      dnsNames: ['reviews.default'],
      ipAddresses: ['10.1.2.3', 'fd00:0:0:0:0:0:0:1'],
      emails: ['a@b.c'],
      others: 0,
    });
    expect(parsePeerSpiffeId(der)).toBe(ID);
  });

  it.each([
    ['no names', []],
    ['no URI', [{ type: 'dns' as const, value: ID }]],
    [
      'two URIs',
      [
        { type: 'url' as const, value: ID },
        { type: 'url' as const, value: ID },
      ],
    ],
    ['a URI of another kind', [{ type: 'url' as const, value: 'https://cluster.local/ns/default/sa/reviews' }]],
  ])('refuses %s', async (_what, names) => {
    const der = await certificateWith(names);
    expect(() => parsePeerSpiffeId(der)).toThrow(PeerIdentityError);
  });

  it('refuses a root, which has no names', async () => {
    const root = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 60 });
    expect(() => parsePeerSpiffeId(readCertificates(root.certPem)[0]!.raw)).toThrow(/0 URI names/);
  });

  it('refuses a NUL inside a name', () => {
    const text = Buffer.from(leaf).toString('latin1');
    const at = text.indexOf('/reviews');
    const changed = Uint8Array.from(leaf);
    changed[at] = 0;
    expect(() => parsePeerSpiffeId(changed)).toThrow(/not printable/);
  });

  it('refuses trailing bytes and every truncation', () => {
    expect(() => parsePeerSpiffeId(Buffer.concat([leaf, Buffer.of(0)]))).toThrow(PeerIdentityError);
    for (let length = 0; length < leaf.length; length++) {
      expect(() => parsePeerSpiffeId(leaf.subarray(0, length))).toThrow(PeerIdentityError);
    }
  });

  it('never fails otherwise than by its own error, whatever is changed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(leaf.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const changed = Uint8Array.from(leaf);
          for (const [at, byte] of changes) changed[at] = byte;
          try {
            expect(parsePeerSpiffeId(changed)).toMatch(/^spiffe:\/\/[a-z0-9._-]+\/ns\/[a-z0-9-]+\/sa\/[a-z0-9.-]+$/);
          } catch (error) {
            expect(error).toBeInstanceOf(PeerIdentityError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe('encodeDer', () => {
  it('writes long lengths minimally', () => {
    expect([...encodeDer(DER_TAG.octetString, new Uint8Array(127)).subarray(0, 2)]).toEqual([4, 127]);
    expect([...encodeDer(DER_TAG.octetString, new Uint8Array(128)).subarray(0, 3)]).toEqual([4, 0x81, 128]);
    expect([...encodeDer(DER_TAG.octetString, new Uint8Array(300)).subarray(0, 4)]).toEqual([4, 0x82, 1, 44]);
  });

  it('keeps keys out of the way of names', async () => {
    const { keyPem } = await createRootCertificate({ trustDomain: 'x', ttlSeconds: 60 });
    expect(createPublicKey(createPrivateKey(keyPem)).asymmetricKeyType).toBe('ec');
  });
});
