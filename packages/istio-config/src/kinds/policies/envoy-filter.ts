// Kind EnvoyFilter: patches of the configuration that is generated for proxies.
import type { z } from 'zod';
import { freeForm, list, message, nested } from '../../declare/message.js';
import { choice, integer } from '../../declare/scalars.js';
import { networkSelector, targetReferences } from '../fields/selector.js';
import { envoyObjectMatch } from './envoy-filter-match.js';

const INT32_MIN = -(2 ** 31);

/** What is done to an object. */
export const envoyPatch = message('Patch', {
  operation: choice('How the value is applied.', [
    'INVALID',
    'MERGE',
    'ADD',
    'REMOVE',
    'INSERT_BEFORE',
    'INSERT_AFTER',
    'INSERT_FIRST',
    'REPLACE',
  ]),
  value: freeForm("The object or a part of it, as Envoy's API writes it in JSON."),
  filterClass: choice('Where an added filter stands among others.', ['UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS']),
});

/** A patch and what it is for. */
export const envoyConfigPatch = message('EnvoyConfigObjectPatch', {
  applyTo: choice('The kind of object that is patched.', [
    'INVALID',
    'LISTENER',
    'FILTER_CHAIN',
    'NETWORK_FILTER',
    'HTTP_FILTER',
    'ROUTE_CONFIGURATION',
    'VIRTUAL_HOST',
    'HTTP_ROUTE',
    'CLUSTER',
    'EXTENSION_CONFIG',
    'BOOTSTRAP',
    'LISTENER_FILTER',
  ]),
  match: nested(envoyObjectMatch, 'Which objects of that kind; none: all.'),
  patch: nested(envoyPatch, 'What is done to them.'),
});

/** The spec of an EnvoyFilter. */
export const envoyFilter = message(
  'EnvoyFilter',
  {
    workloadSelector: nested(networkSelector, 'The workloads that this is for; none: all of the namespace.'),
    targetRefs: targetReferences,
    configPatches: list(envoyConfigPatch, 'The patches, in their order.'),
    priority: integer('Order among the EnvoyFilters of a proxy, the lowest first (default 0).', { min: INT32_MIN }),
  },
  {
    atMostOneOf: [['workloadSelector', 'targetRefs']],
    instead: { selector: 'workloadSelector', patches: 'configPatches' },
  },
);

export type EnvoyFilterSpec = z.infer<typeof envoyFilter>;
export type EnvoyConfigPatch = z.infer<typeof envoyConfigPatch>;
