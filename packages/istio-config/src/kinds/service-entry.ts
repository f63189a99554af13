// Kind ServiceEntry: a service that the registry does not know by itself.

import type { z } from 'zod';
import { dnsLabel, subnet } from '../declare/formats.js';
import { labels } from '../declare/labels.js';
import { list, map, message, nested, required } from '../declare/message.js';
import { choice, integer, portNumber, text } from '../declare/scalars.js';
import { exportTo } from './fields/export-to.js';
import { networkSelector } from './fields/selector.js';
import { servicePort } from './fields/server.js';

/** An endpoint of a service: a host, a virtual machine. */
export const workloadEntry = message('WorkloadEntry', {
  address: text('IP address, DNS name (with resolution DNS) or unix:///PATH.'),
  ports: map(portNumber(''), 'Ports of the endpoint, by the name of the port.'),
  labels: labels('Labels of the endpoint.'),
  network: text('Network that it is in; empty: reachable by all.'),
  locality: text('REGION/ZONE/SUBZONE.'),
  weight: integer('Share of the load (default 1).'),
  serviceAccount: text('Service account of the workload.', { format: dnsLabel }),
});

/** The spec of a ServiceEntry. */
export const serviceEntry = message(
  'ServiceEntry',
  {
    hosts: required(list(text(''), 'Hosts of the service; may be wildcards.', { min: 1 })),
    addresses: list(text('', { format: subnet }), 'Virtual addresses.'),
    ports: list(servicePort, 'Ports.'),
    location: choice('Whether it is part of the mesh (default MESH_EXTERNAL).', ['MESH_EXTERNAL', 'MESH_INTERNAL']),
    resolution: choice('How endpoints are found (default NONE: the address that was dialled).', [
      'NONE',
      'STATIC',
      'DNS',
      'DNS_ROUND_ROBIN',
      'DYNAMIC_DNS',
    ]),
    endpoints: list(workloadEntry, 'Its endpoints.'),
    workloadSelector: nested(networkSelector, 'Workloads that are its endpoints.'),
    exportTo,
    subjectAltNames: list(text('', { minLength: 1 }), 'Names of which the server certificate must have one.'),
  },
  { atMostOneOf: [['endpoints', 'workloadSelector']], instead: { host: 'hosts', port: 'ports' } },
);

export type ServiceEntrySpec = z.infer<typeof serviceEntry>;
