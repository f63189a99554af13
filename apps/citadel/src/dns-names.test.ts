// Who may have a DNS name in its certificate: each control-plane service its own, and nobody else any.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CertificateClient, createKeyAndCsr, readCertificates, readSubjectAltNames } from '@lateen/identity';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mayHaveDnsName, serviceDnsNames } from './dns-names.js';
import { CitadelTest } from './testing/running-citadel.js';

const account = (serviceAccount: string, namespace = 'istio-system') => ({ namespace, serviceAccount });

describe('the rule', () => {
  it.each([
    ['galley', 'galley.istio-system.svc'],
    ['galley', 'galley.istio-system.svc.cluster.local'],
    ['galley', 'galley-canary.istio-system.svc'],
    ['pilot', 'pilot-1-2.istio-system.svc.cluster.local'],
    ['citadel', 'citadel.istio-system.svc'],
  ])('%s may be %s', (serviceAccount, name) => {
    expect(mayHaveDnsName(account(serviceAccount), name)).toBe(true);
  });

  it.each([
    [account('pilot'), 'galley.istio-system.svc'],
    [account('galley'), 'pilot.istio-system.svc'],
    [account('galley', 'default'), 'galley.istio-system.svc'],
    [account('galley', 'default'), 'galley.default.svc'],
    [account('galley-canary'), 'galley-canary.istio-system.svc'],
    [account('default'), 'default.istio-system.svc'],
    [account('lateen-admin'), 'lateen-admin.istio-system.svc'],
    [account('galley'), 'galley'],
    [account('galley'), 'galley.istio-system'],
    [account('galley'), 'galley.default.svc'],
    [account('galley'), 'galleyx.istio-system.svc'],
    [account('galley'), 'galley-.istio-system.svc'],
    [account('galley'), 'x.galley.istio-system.svc'],
    [account('galley'), 'galley-x.y.istio-system.svc'],
    [account('galley'), '*.istio-system.svc'],
    [account('galley'), 'galley-*.istio-system.svc'],
    [account('galley'), 'Galley.istio-system.svc'],
    [account('galley'), 'galley.istio-system.svc.'],
    [account('galley'), 'galley.istio-system.svc.cluster.local.example.com'],
    [account('galley'), 'galley.istio-system.svc.example.com'],
    [account('galley'), 'kubernetes.default.svc'],
    [account('galley'), `galley-${'a'.repeat(60)}.istio-system.svc`],
    [account('galley'), 'galley-\0.istio-system.svc'],
    [account('galley'), ''],
  ])('%o may not be %j', (who, name) => {
    expect(mayHaveDnsName(who, name)).toBe(false);
  });

  it('knows the names of a revision', () => {
    expect(serviceDnsNames('galley', 'default')).toEqual([
      'galley.istio-system.svc',
      'galley.istio-system.svc.cluster.local',
    ]);
    expect(serviceDnsNames('galley', 'canary')[0]).toBe('galley-canary.istio-system.svc');
  });
});

describe('a request', () => {
  let test: CitadelTest;
  beforeEach(async () => {
    test = await CitadelTest.create();
  });
  afterEach(() => test.end());

  it('gets the names of its own service, renewed by its certificate too', async () => {
    const citadel = await test.start();
    const directory = join(test.directory, 'galley');
    await mkdir(directory);
    await writeFile(join(directory, 'token'), await test.token(account('galley')));
    const dnsNames = serviceDnsNames('galley', 'canary');
    const options = {
      citadelAddress: `127.0.0.1:${citadel.ports.grpc}`,
      tokenFile: join(directory, 'token'),
      rootCertFile: join(test.stateDir, 'root-cert.pem'),
      directory,
      trustDomain: 'cluster.local',
    };
    const open = (more: object) => {
      const created = new CertificateClient({ ...options, ...more });
      test.closers.push(() => created.stop());
      return created;
    };
    const namesOf = (client: CertificateClient) =>
      readSubjectAltNames(readCertificates(client.current!.certChainPem)[0]!.raw);

    const plain = open({});
    await plain.ready();
    expect(namesOf(plain).dnsNames).toEqual([]);
    await plain.stop();

    // What is stored has not the names, so that it does not serve.
    const client = open({ dnsNames });
    await client.ready();
    expect(namesOf(client)).toMatchObject({ uris: ['spiffe://cluster.local/ns/istio-system/sa/galley'], dnsNames });
    const { serial } = client.current!;
    await writeFile(join(directory, 'token'), 'damaged');
    await client.renewNow();
    expect(client.current!.serial).not.toBe(serial);
    expect(namesOf(client).dnsNames).toEqual(dnsNames);
    expect((await test.auditLines()).at(-1)).toMatchObject({ attestor: 'client-certificate', dnsNames });
  });

  it("is refused for another's name, as a whole", async () => {
    const citadel = await test.start();
    const { csrPem } = await createKeyAndCsr({
      dnsNames: ['pilot.istio-system.svc', 'galley.istio-system.svc'],
    });
    await expect(test.ask(citadel, { csrPem, token: await test.token(account('pilot')) })).rejects.toThrow(
      'may not ask for a certificate of "galley.istio-system.svc"',
    );
    await expect(test.ask(citadel, { csrPem })).rejects.toThrow('PERMISSION_DENIED');
    expect(await test.metric(citadel, 'citadel_server_success_cert_issuance_count')).toBe(0);
  });
});
