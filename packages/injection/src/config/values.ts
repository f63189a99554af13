// Configuration: the values that templates and the webhook take: defaults, and over them what the ConfigMap's key `values`
// says. Keys that are not known are kept, since users' own templates read them.

import { z } from 'zod';

const resources = z.looseObject({
  requests: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  limits: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
});

const seconds = z.int().min(0);
const list = z.string();

export const valuesSchema = z.looseObject({
  global: z.looseObject({
    hub: z.string().min(1),
    tag: z.union([z.string(), z.number()]).transform(String),
    imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
    imagePullSecrets: z.array(z.string().min(1)),
    pilotAddress: z.string(),
    citadelAddress: z.string(),
    clusterDomain: z.string().min(1),
    clusterName: z.string().min(1),
    network: z.string(),
    meshId: z.string(),
    proxy: z.looseObject({
      image: z.string().min(1),
      logLevel: z.string(),
      nativeSidecar: z.union([z.literal('auto'), z.boolean()]),
      holdApplicationUntilProxyStarts: z.boolean(),
      resources,
      includeIPRanges: list,
      excludeIPRanges: list,
      includeInboundPorts: list,
      excludeInboundPorts: list,
      includeOutboundPorts: list,
      excludeOutboundPorts: list,
      startupProbe: z.looseObject({ enabled: z.boolean(), failureThreshold: z.int().min(1) }),
      readinessInitialDelaySeconds: seconds,
      readinessPeriodSeconds: z.int().min(1),
      readinessFailureThreshold: z.int().min(1),
      lifecycle: z.record(z.string(), z.unknown()),
    }),
    proxy_init: z.looseObject({ image: z.string(), resources }),
  }),
  sidecarInjectorWebhook: z.looseObject({ rewriteAppHTTPProbe: z.boolean() }),
  pilot: z.looseObject({ cni: z.looseObject({ enabled: z.boolean() }) }),
});

export type InjectionValues = z.infer<typeof valuesSchema>;
