// A rate limit service of the mesh is asked over mutual TLS, and nobody else in its place.

import { ServerCredentials } from '@grpc/grpc-js';
import { TestAuthority } from '@lateen/identity/testing';
import { expect, it, onTestFinished } from 'vitest';
import { OVER_LIMIT, startLimitServer } from '../testing/limit-server.js';
import { startAskingProxy } from '../testing/limited-proxy.js';
import { meshClientSocketOf, workloadSecrets } from '../testing/mesh-identity.js';

it.each([
  ['limits', 429, { overLimit: 1, error: 0 }],
  ['impostor', 200, { overLimit: 0, error: 1 }],
])('the service runs as %s: %d', async (serviceAccount, status, counts) => {
  const authority = await TestAuthority.create();
  const { keyPem, certChainPem } = await authority.issue({ namespace: 'default', serviceAccount });
  const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certChainPem) };
  const limits = await startLimitServer(ServerCredentials.createSsl(Buffer.from(authority.rootsPem), [pair], true));
  onTestFinished(() => limits.stop());
  limits.answer = () => ({ overallCode: OVER_LIMIT });
  const transport = { transport_socket: meshClientSocketOf(['limits'], ['h2']) };
  const proxy = await startAskingProxy(limits.port, transport, await workloadSecrets(authority, 'web'));
  expect((await fetch(`http://127.0.0.1:${proxy.port()}/`)).status).toBe(status);
  expect(proxy.dataPlane.limitServices()[0]).toMatchObject(counts);
  expect(limits.asked).toHaveLength(status === 429 ? 1 : 0);
});
