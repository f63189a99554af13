// Demo check, acceptance line 3: who gets through to a STRICT workload, and whether the tools show what is true.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatSpiffeId } from '@lateen/identity';
import { issueWorkloadCertificate, publicKeyOf } from '@lateen/identity/authority';
import { TestAuthority } from '@lateen/identity/testing';
import { type Check, require, until } from './check.js';
import type { MeshUnderTest } from './mesh-under-test.js';
import { type Attempt, attemptPlaintext, attemptTls, type Target, type TlsClient } from './tls-attempt.js';

const NAMES = { namespace: 'default', serviceAccount: 'bookinfo-productpage' };
const VERSIONS = ['TLSv1.3', 'TLSv1.2'] as const;
const CHANGE_LIMIT_MS = 5000;

export const mutualTlsChecks: readonly Check[] = [
  {
    line: 3,
    name: 'a plaintext call to a STRICT workload is refused',
    run: async (mesh) => {
      const target = await reviewsPort(mesh);
      const member = await attemptTls(target, meshMember(mesh));
      require(member.received.startsWith('HTTP/1.1 200'), `a member of the mesh is not served: ${describe(member)}`);
      const plain = await attemptPlaintext(target);
      require(plain.received === '', `it is answered: ${plain.received.slice(0, 80)}`);
      return `${plain.ending}; a member of the mesh is served`;
    },
  },
  {
    line: 3,
    name: 'a self-signed stranger is refused, also with a resumed session',
    run: async (mesh) => {
      // The right trust domain and the right name, but a root of its own.
      const stranger = await (await TestAuthority.create('cluster.local')).issue(NAMES);
      const target = await reviewsPort(mesh);
      await expectRefusedWithResumption(target, {});
      return expectRefusedWithResumption(target, stranger);
    },
  },
  {
    line: 3,
    name: "another trust domain's certificate is refused, also with a resumed session",
    run: async (mesh) => {
      const foreign = await (await TestAuthority.create('other.example')).issue(NAMES);
      const target = await reviewsPort(mesh);
      await expectRefusedWithResumption(target, foreign);
      return expectRefusedWithResumption(target, await foreignNameFromOwnRoot(mesh));
    },
  },
  {
    line: 3,
    name: '`authn tls-check` shows what is true, before and after a change',
    run: async (mesh) => {
      const target = await reviewsPort(mesh);
      const strict = await tlsCheckRow(mesh);
      require(/\bOK\s+STRICT\s+ISTIO_MUTUAL\s+default\/default\s+default\/reviews\b/.test(
        strict,
      ), `it shows ${JSON.stringify(strict)}`);
      await mesh.lateenctl(['delete', 'peerauthentication', 'default', '-n', 'default']);
      try {
        await until(CHANGE_LIMIT_MS, async () => {
          const row = await tlsCheckRow(mesh);
          require(/\bOK\s+PERMISSIVE\s+ISTIO_MUTUAL\s+-\s/.test(
            row,
          ), `without the policy it shows ${JSON.stringify(row)}`);
          const plain = await attemptPlaintext(target);
          require(plain.received.startsWith(
            'HTTP/1.1 200',
          ), `it shows PERMISSIVE, but plaintext gets ${describe(plain)}`);
        });
      } finally {
        await mesh.apply('examples/handbook/peer-authentication-default.yaml');
      }
      await until(CHANGE_LIMIT_MS, async () => {
        const plain = await attemptPlaintext(target);
        require(plain.received === '', 'plaintext is still answered after STRICT was applied again');
        require(/STRICT/.test(await tlsCheckRow(mesh)), 'it still shows no STRICT');
      });
      return 'STRICT, PERMISSIVE, STRICT';
    },
  },
  {
    line: 3,
    name: '`proxy-config secret` shows the certificate that the workload presents',
    run: async (mesh) => {
      const presented = (await attemptTls(await reviewsPort(mesh), meshMember(mesh))).serverSerial;
      require(presented !== undefined, 'the workload presents no certificate');
      const table = await mesh.lateenctl(['proxy-config', 'secret', 'reviews-v1', '-n', 'default']);
      const row = table.split('\n').find((line) => line.startsWith('default '));
      require(row !== undefined, `it shows no secret "default":\n${table}`);
      const serial = presented.replace(/^0+/, '').toLowerCase();
      require(row.toLowerCase().includes(serial), `the workload presents ${presented}, it shows ${row}`);
      require(row.includes('spiffe://cluster.local/ns/default/sa/bookinfo-reviews'), `it shows ${row}`);
      return presented;
    },
  },
];

async function reviewsPort(mesh: MeshUnderTest): Promise<Target> {
  const [pod] = await mesh.pods('reviews-v1');
  return { address: pod!.address, port: 9080 };
}

/** The command line's own certificate: of the mesh's trust domain and root. */
function meshMember(mesh: MeshUnderTest): TlsClient {
  const read = (name: string) => readFileSync(join(mesh.stateDir, 'supervisor', 'admin', name), 'utf8');
  return { keyPem: read('key.pem'), certChainPem: read('cert-chain.pem') };
}

/** A certificate that the mesh's own root has signed, for a name of another trust domain. */
async function foreignNameFromOwnRoot(mesh: MeshUnderTest): Promise<TlsClient> {
  const read = (name: string) => readFileSync(join(mesh.stateDir, 'citadel', name), 'utf8');
  const { issuing } = JSON.parse(read('authority.json')) as { issuing: string };
  const { keyPem } = await (await TestAuthority.create('other.example')).issue(NAMES);
  const { certPem } = await issueWorkloadCertificate({
    root: { keyPem: read(`roots/${issuing}/key.pem`), certPem: read(`roots/${issuing}/cert.pem`) },
    publicKey: publicKeyOf(keyPem),
    spiffeId: formatSpiffeId({ trustDomain: 'other.example', ...NAMES }),
    ttlSeconds: 3600,
  });
  return { keyPem, certChainPem: certPem };
}

/** By both versions of TLS: nothing is answered, nor when a session that was handed out is taken up again. */
async function expectRefusedWithResumption(target: Target, client: TlsClient): Promise<string> {
  let tickets = 0;
  for (const maxVersion of VERSIONS) {
    const first = await attemptTls(target, { ...client, maxVersion });
    require(first.received === '', `by ${maxVersion} it is answered: ${describe(first)}`);
    tickets += first.sessions.length;
    for (const session of first.sessions) {
      for (const again of [client, {}]) {
        const second = await attemptTls(target, { ...again, maxVersion, session });
        require(second.received === '', `by ${maxVersion} with a resumed session it is answered: ${describe(second)}`);
      }
    }
  }
  return tickets === 0 ? 'no session to resume was handed out' : `${tickets} sessions tried`;
}

/** The line of `authn tls-check` for reviews as productpage calls it, without a subset. */
async function tlsCheckRow(mesh: MeshUnderTest): Promise<string> {
  const table = await mesh.lateenctl(['authn', 'tls-check', 'productpage-v1', 'default']);
  return table.split('\n').find((line) => /^reviews\.default\.svc\.cluster\.local:9080\s/.test(line)) ?? table;
}

function describe({ received, ending }: Attempt): string {
  return received === '' ? ending : JSON.stringify(received.slice(0, 100));
}
