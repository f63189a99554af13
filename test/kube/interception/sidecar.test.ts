// Interception matrix with the sidecar itself: what the applications of both ends see.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../harness/wait-until.js';
import { type Actor, FAMILIES, LOCALHOST } from './cast.js';
import { createInterceptedPod, type InterceptedPod } from './intercepted-pod.js';
import { canMakeNamespaces, OUTSIDE, POD, VIP } from './network.js';
import { at } from './protocol.js';
import { BACKENDS, redirect, USUAL } from './redirect.js';

const PASSTHROUGH = { 4: '127.0.0.6', 6: '::6' } as const;

describe.skipIf(!canMakeNamespaces()).each(BACKENDS)('the sidecar behind rules of %s', (backend) => {
  let pod: InterceptedPod;
  beforeAll(async () => {
    pod = await createInterceptedPod();
    redirect(pod.cast.pod, backend, [...USUAL, '--ipv6', 'on']);
  });
  afterAll(() => pod?.close());

  const dial = async (from: Actor, host: string, port: number) => {
    const { welcome, error } = await pod.cast.agents[from].ask({ do: 'dial', host, port });
    return welcome === undefined ? error : { who: welcome.who, remote: welcome.remote };
  };
  const logged = (cluster: string, host: string) =>
    waitUntil(`the log of ${cluster}`, () => pod.output().includes(`LOG ${cluster} ${host}\n`));

  test.each(FAMILIES)('IPv%i: hands what goes out on to where it was going', async (family) => {
    for (const from of ['app', 'root'] as const) {
      expect(await dial(from, OUTSIDE[family], 8080)).toEqual({ who: 'outside', remote: POD[family] });
    }
    await logged('PassthroughCluster', at(OUTSIDE[family], 8080));
  });

  test.each(FAMILIES)('IPv%i: hands what comes in on to the application, whichever port', async (family) => {
    for (const port of [8080, 7070]) {
      expect(await dial('outside', POD[family], port)).toEqual({ who: 'app', remote: PASSTHROUGH[family] });
      await logged('InboundPassthroughCluster', at(POD[family], port));
    }
  });

  test.each(FAMILIES)(
    'IPv%i: brings an application to itself by the address of its service, in and out',
    async (family) => {
      expect(await dial('app', VIP[family], 8080)).toEqual({ who: 'app', remote: PASSTHROUGH[family] });
      await logged(`own${family}`, at(POD[family], 8080));
    },
  );

  test.each(FAMILIES)(
    'IPv%i: is not in the way of what is excluded, nor of the application and itself',
    async (family) => {
      expect(await dial('outside', POD[family], 9090)).toEqual({ who: 'app', remote: OUTSIDE[family] });
      expect(await dial('app', LOCALHOST[family], 8080)).toEqual({ who: 'app', remote: LOCALHOST[family] });
      expect(await dial('app', POD[family], 8080)).toEqual({ who: 'app', remote: POD[family] });
      expect(await dial('app', OUTSIDE[family], 9999)).toEqual({ who: 'outside', remote: POD[family] });
      expect(pod.output()).not.toContain(at(OUTSIDE[family], 9999));
    },
  );

  test('takes 1,000 new connections a second, half of them out and half in, while rules are written again', async () => {
    const { app, outside } = pod.cast.agents;
    const many = (port: number, host: string) => ({ do: 'dial-many', host, port, perSecond: 500, seconds: 4 }) as const;
    const results = Promise.all([app.ask(many(8080, OUTSIDE[4])), outside.ask(many(8080, POD[4]))]);
    for (let round = 0; round < 3; round++)
      redirect(pod.cast.pod, backend, [...USUAL, '--ipv6', 'on', '-q', `${1000 + round}`]);
    for (const { count, error } of await results) expect({ count, error }).toEqual({ count: 2000 });
  });
});
