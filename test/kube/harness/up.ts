// Test cluster: a cluster that stays until Ctrl-C, for a developer: `npm run kube:up`.

import { startCluster } from './cluster.js';
import { requireKubePrograms } from './kube-programs.js';

const programs = requireKubePrograms();
if (programs === undefined) process.exit(1);
const started = Date.now();
const cluster = await startCluster({ programs, nodes: 2 });
console.log(`Kubernetes is up after ${((Date.now() - started) / 1000).toFixed(1)} s. In another terminal, as root:

  ${enterCommand()}
  kubectl get namespaces

Ctrl-C here ends it.`);
const ended = new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
});
const staysAlive = setInterval(() => {}, 60_000);
await ended;
clearInterval(staysAlive);
await cluster.stop();

/** Enters the namespaces by the first process in them, which is found by the state directory that only it was given. */
function enterCommand(): string {
  const init = `pgrep -f 'machine init ${programs?.state}' | tail -1`;
  const bin = programs?.kubectl.replace(/\/kubectl$/, '');
  return `nsenter -t "$(${init})" --net --mount --pid env KUBECONFIG=${cluster.kubeconfig} PATH=${bin}:$PATH bash`;
}
