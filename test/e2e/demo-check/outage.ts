// Demo check, acceptance line 4: the control plane is killed, traffic goes on, and everything finds together again.

import { type Check, require, until } from './check.js';
import type { MeshUnderTest } from './mesh-under-test.js';

const COMPONENTS = ['pilot', 'galley', 'citadel'] as const;
const PAGES_WITHOUT = 50;
const RESTART_LIMIT_MS = 15_000;
const RECONNECT_LIMIT_MS = 30_000;
const CONFIG_LIMIT_MS = 5000;

/** Everybody to v2: a change that a reader of the page sees. */
const EVERYBODY_TO_V2 = `apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: v2
`;

export const outageChecks: readonly Check[] = [
  {
    line: 4,
    name: 'with Pilot, Galley and Citadel killed, traffic goes on',
    run: async (mesh) => {
      for (const component of COMPONENTS) await mesh.lateenctl(['local', 'stop', component, '--signal', 'KILL']);
      for (let page = 0; page < PAGES_WITHOUT; page++) await mesh.reviews();
      return `${PAGES_WITHOUT} pages`;
    },
  },
  {
    line: 4,
    name: 'a sidecar killed and started again meanwhile serves',
    run: async (mesh) => {
      const names = ['productpage-v1/sidecar', 'reviews-v1/sidecar', 'istio-ingressgateway/sidecar'];
      const times: string[] = [];
      for (const name of names) {
        await mesh.lateenctl(['local', 'stop', name, '--signal', 'KILL']);
        await mesh.lateenctl(['local', 'start', name]);
        const { tookMs } = await until(RESTART_LIMIT_MS, () => mesh.reviews());
        times.push(`${name.split('/')[0]} ${(tookMs / 1000).toFixed(1)} s`);
      }
      return `page again after: ${times.join(', ')}`;
    },
  },
  {
    line: 4,
    name: 'when they return, everything reconnects',
    run: async (mesh) => {
      for (const component of COMPONENTS) await mesh.lateenctl(['local', 'start', component]);
      const { tookMs } = await until(RECONNECT_LIMIT_MS, () => expectAllConnected(mesh));
      return `${(tookMs / 1000).toFixed(1)} s`;
    },
  },
  {
    line: 4,
    name: 'configuration applied afterwards arrives within 5 s',
    run: async (mesh) => {
      await mesh.lateenctl(['apply', '-f', '-'], EVERYBODY_TO_V2);
      const { tookMs } = await until(CONFIG_LIMIT_MS, async () => {
        const { version } = await mesh.reviews();
        require(version === 'v2', `readers still get reviews ${version}`);
      });
      await mesh.apply('examples/handbook/virtual-service-reviews.yaml');
      await until(CONFIG_LIMIT_MS, async () => {
        require((await mesh.reviews()).version === 'v1', 'the handbook’s route has not come back');
      });
      return `${tookMs.toFixed(0)} ms`;
    },
  },
];

interface SyncedProxy {
  readonly proxyId: string;
  readonly types: readonly { readonly type: string; readonly status: string; readonly error?: string }[];
}

/** Every pod's sidecar is connected to Pilot and has taken everything; the registry's reports arrive. */
async function expectAllConnected(mesh: MeshUnderTest): Promise<void> {
  const status = await mesh.status();
  require(status.ready, `still waiting for ${status.waitingFor.join('; ')}`);
  const proxies = JSON.parse(await mesh.lateenctl(['proxy-status', '-o', 'json'])) as SyncedProxy[];
  for (const pod of status.pods) {
    const proxy = proxies.find(({ proxyId }) => proxyId === `${pod.name}.${pod.namespace}`);
    require(proxy !== undefined, `the sidecar of ${pod.name} is not connected to Pilot`);
    for (const { type, status: state, error } of proxy.types) {
      require(state === 'SYNCED' || state === 'NOT SENT', `${type} of ${pod.name} is ${state}: ${error ?? ''}`);
    }
  }
}
