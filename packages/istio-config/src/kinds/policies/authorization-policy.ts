// Kind AuthorizationPolicy: who may do what at some workloads.
import type { z } from 'zod';
import { subnet } from '../../declare/formats.js';
import { list, message, nested, required } from '../../declare/message.js';
import { choice, text } from '../../declare/scalars.js';
import { attachment } from '../fields/selector.js';

const value = text('', { minLength: 1 });
const address = text('', { minLength: 1, format: subnet });
const account = text('', { minLength: 1, maxLength: 320 });
/** Istio's own limit. */
const MAX_ACCOUNTS = 16;

/** Who calls: all of its fields have to hold, of each field one value. */
export const authorizationSource = message(
  'Source',
  {
    principals: list(value, 'Identities of the client certificate, such as cluster.local/ns/default/sa/sleep.'),
    notPrincipals: list(value, 'Identities that are not meant.'),
    requestPrincipals: list(value, 'Issuer and subject of the token, ISSUER/SUBJECT.'),
    notRequestPrincipals: list(value, 'Issuers and subjects that are not meant.'),
    namespaces: list(value, 'Namespaces of the caller, by its certificate.'),
    notNamespaces: list(value, 'Namespaces that are not meant.'),
    serviceAccounts: list(account, 'Service accounts of the caller, NAME or NAMESPACE/NAME; no wildcards.', {
      max: MAX_ACCOUNTS,
    }),
    notServiceAccounts: list(account, 'Service accounts that are not meant.', { max: MAX_ACCOUNTS }),
    ipBlocks: list(address, 'Addresses or subnets of the direct peer.'),
    notIpBlocks: list(address, 'Addresses or subnets of the direct peer that are not meant.'),
    remoteIpBlocks: list(address, 'Addresses or subnets of the client, by x-forwarded-for or the PROXY protocol.'),
    notRemoteIpBlocks: list(address, 'Addresses or subnets of the client that are not meant.'),
  },
  { instead: { principal: 'principals', namespace: 'namespaces', ip: 'ipBlocks', serviceAccount: 'serviceAccounts' } },
);

/** What is done: all of its fields have to hold, of each field one value. */
export const authorizationOperation = message(
  'Operation',
  {
    hosts: list(value, 'Hosts of the request, whatever their case; with a port where the request has one.'),
    notHosts: list(value, 'Hosts that are not meant.'),
    ports: list(value, 'Ports of the workload, as strings.'),
    notPorts: list(value, 'Ports that are not meant.'),
    methods: list(value, 'HTTP methods.'),
    notMethods: list(value, 'HTTP methods that are not meant.'),
    paths: list(value, 'Paths without the query; {*} stands for one segment, {**} for the rest.'),
    notPaths: list(value, 'Paths that are not meant.'),
  },
  { instead: { host: 'hosts', port: 'ports', method: 'methods', path: 'paths' } },
);

/** One more condition. */
export const authorizationCondition = message('Condition', {
  key: required(text('What is looked at, such as request.headers[x-user] or source.ip.', { minLength: 1 })),
  values: list(text(''), 'Values of which one has to be there.'),
  notValues: list(text(''), 'Values of which none may be there.'),
});

/** A rule: it holds where one of `from`, one of `to` and all of `when` hold; an empty one always does. */
export const authorizationRule = message(
  'Rule',
  {
    from: list(
      message('From', { source: nested(authorizationSource, 'Who calls.') }, { instead: { principals: 'source' } }),
      'Callers, one of them; none: everybody.',
      { max: 512 },
    ),
    to: list(
      message(
        'To',
        { operation: nested(authorizationOperation, 'What is done.') },
        { instead: { paths: 'operation' } },
      ),
      'Operations, one of them; none: everything.',
    ),
    when: list(authorizationCondition, 'More conditions, all of them.'),
  },
  { instead: { source: 'from', operation: 'to', condition: 'when', conditions: 'when' } },
);

/** The spec of an AuthorizationPolicy. */
export const authorizationPolicy = message(
  'AuthorizationPolicy',
  {
    ...attachment,
    rules: list(authorizationRule, 'Requests that the action is for; none: no request.', { max: 512 }),
    action: choice('What happens to them (default ALLOW).', ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']),
    provider: nested(
      message('ExtensionProvider', { name: text('Its name in `extensionProviders` of MeshConfig.') }),
      'Who decides with action CUSTOM.',
    ),
  },
  { atMostOneOf: [['selector', 'targetRef', 'targetRefs']], instead: { rule: 'rules' } },
);

export type AuthorizationPolicySpec = z.infer<typeof authorizationPolicy>;
export type AuthorizationRule = z.infer<typeof authorizationRule>;
export type AuthorizationSource = z.infer<typeof authorizationSource>;
export type AuthorizationOperation = z.infer<typeof authorizationOperation>;
export type AuthorizationCondition = z.infer<typeof authorizationCondition>;
