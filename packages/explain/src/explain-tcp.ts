// Explain: a call to a port whose bytes are passed on as they are: no route, only clusters.

import type { TcpEntry } from './entry.js';
import type { ExplainContext } from './explain.js';
import type { Explanation } from './explanation.js';
import { NO_CHANGES } from './explanation.js';
import { explainArrivals } from './inbound.js';
import { clusterBecause, endpointBecause } from './places/forward-because.js';
import { connectionBecause } from './places/tcp-because.js';
import { clusterFacts } from './read/clusters.js';

export function explainTcp(
  context: ExplainContext,
  { proxy, service, port }: TcpEntry,
): Partial<Explanation> & Pick<Explanation, 'outcome'> {
  const { resources, snapshot, places, view } = context;
  const { clusterSpecifier: specifier } = proxy;
  const weighted =
    specifier.case === 'weightedClusters'
      ? specifier.value.clusters
      : [{ name: specifier.case === 'cluster' ? specifier.value : '', weight: 100 }];
  const found = weighted.map(({ name, weight }) => ({
    name,
    weight,
    ...clusterFacts(resources, snapshot.workloads, name, service.hostname),
  }));
  const arrivals = explainArrivals(
    context,
    found.map(({ endpoints }) => ({ endpoints, head: '' })),
  );
  const isDenied =
    arrivals.inbound.length > 0 && arrivals.inbound.every(({ authorization }) => authorization?.decision === 'denied');
  const outcome = `port ${port.port} of ${service.hostname} is ${port.protocol}: the connection goes to ${weighted.map(({ name }) => name).join(', ')}`;
  return {
    action: 'tcp',
    clusters: found.map(({ name, weight, loadBalancer, limits, endpoints }) => ({
      name,
      weight,
      endpoints: endpoints.map(({ pod, workload, port: at, tls }) => ({ pod, workload, port: at, tls })),
      loadBalancer,
      ...limits,
      path: '',
      host: '',
      requestHeaders: NO_CHANGES,
      responseHeaders: NO_CHANGES,
    })),
    inbound: arrivals.inbound,
    notes: arrivals.notes,
    outcome: isDenied
      ? `${outcome}, whose sidecar denies it and closes it`
      : `${outcome}, and the proxy does not look at requests`,
    because: [
      ...connectionBecause(
        places,
        view.scope,
        service,
        port,
        weighted.map(({ name }) => name),
      ),
      ...found.flatMap(({ name, endpoints }) => [
        ...clusterBecause(places, view.scope, name),
        ...endpointBecause(places, endpoints, name),
      ]),
      ...arrivals.because,
    ],
  };
}
