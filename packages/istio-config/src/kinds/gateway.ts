// Kind Gateway: ports and hosts at the edge of the mesh.
import type { z } from 'zod';
import { labelValue } from '../declare/formats.js';
import { list, map, message } from '../declare/message.js';
import { text } from '../declare/scalars.js';
import { server } from './fields/server.js';

/** The spec of a Gateway. */
export const gateway = message(
  'Gateway',
  {
    servers: list(server, 'Ports and hosts.'),
    selector: map(text('', { format: labelValue }), 'Labels of the gateway workloads.'),
  },
  { instead: { server: 'servers', workloadSelector: 'selector', listeners: 'servers' } },
);

export type GatewaySpec = z.infer<typeof gateway>;
