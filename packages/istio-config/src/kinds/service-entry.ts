// Kind ServiceEntry: a service that the registry does not know by itself.

import type { z } from 'zod';
import { subnet } from '../declare/formats.js';
import { list, message, nested, required } from '../declare/message.js';
import { choice, text } from '../declare/scalars.js';
import { exportTo } from './fields/export-to.js';
import { networkSelector } from './fields/selector.js';
import { servicePort } from './fields/server.js';
import { workloadEntry } from './workloads/workload-entry.js';

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
