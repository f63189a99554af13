// Kind WorkloadEntry: a workload outside of Kubernetes, such as a virtual machine; ServiceEntry has such endpoints too.
import type { z } from 'zod';
import { dnsLabel } from '../../declare/formats.js';
import { objectName } from '../../declare/kubernetes-names.js';
import { labels } from '../../declare/labels.js';
import { map, message } from '../../declare/message.js';
import { integer, portNumber, text } from '../../declare/scalars.js';

/** An endpoint of a service: a host, a virtual machine. */
export const workloadEntry = message(
  'WorkloadEntry',
  {
    address: text('IP address, DNS name (with resolution DNS) or unix:///PATH.'),
    ports: map(portNumber(''), 'Ports of the endpoint, by the name of the port.', dnsLabel),
    labels: labels('Labels of the endpoint.'),
    network: text('Network that it is in; empty: reachable by all.'),
    locality: text('REGION/ZONE/SUBZONE.'),
    weight: integer('Share of the load (default 1).'),
    serviceAccount: text('Service account of the workload.', { format: objectName }),
  },
  { instead: { ip: 'address', host: 'address', port: 'ports' } },
);

export type WorkloadEntrySpec = z.infer<typeof workloadEntry>;
