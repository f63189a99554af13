// Kind ProxyConfig: settings of the proxies of some workloads (MeshConfig's `defaultConfig` is another message).
import type { z } from 'zod';
import { map, message, nested } from '../../declare/message.js';
import { integer, text } from '../../declare/scalars.js';
import { workloadSelector } from '../fields/selector.js';

/** The spec of a ProxyConfig. */
export const proxyConfigKind = message(
  'ProxyConfig',
  {
    selector: nested(workloadSelector, 'The workloads that this is for; none: all of the namespace.'),
    concurrency: integer('Worker processes; 0: as many as there are cores; unset: 1.'),
    environmentVariables: map(
      text('', { maxLength: 2048 }),
      "More variables of the proxy's environment; those that begin with ISTIO_META_ are told to Pilot.",
    ),
    image: nested(
      message('ProxyImage', { imageType: text('The variant: default, debug or distroless.') }),
      "The proxy's image.",
    ),
  },
  { instead: { proxyMetadata: 'environmentVariables', env: 'environmentVariables' } },
);

export type ProxyConfigSpec = z.infer<typeof proxyConfigKind>;
