// Kind Gateway: ports and hosts at the edge of the mesh.

import type { z } from 'zod';
import { labels } from '../declare/labels.js';
import { list, message } from '../declare/message.js';
import { server } from './fields/server.js';

/** The spec of a Gateway. */
export const gateway = message(
  'Gateway',
  {
    servers: list(server, 'Ports and hosts.'),
    selector: labels('Labels of the gateway workloads.'),
  },
  { instead: { server: 'servers', workloadSelector: 'selector', listeners: 'servers' } },
);

export type GatewaySpec = z.infer<typeof gateway>;
