// Kind WasmPlugin: a filter in WebAssembly at some workloads.
import type { z } from 'zod';
import { freeForm, list, message, nested, required } from '../../declare/message.js';
import { choice, integer, portNumber, text } from '../../declare/scalars.js';
import { attachment } from '../fields/selector.js';

/** A variable that the plugin sees. */
export const wasmEnvironment = message('EnvVar', {
  name: required(text('Its name.', { minLength: 1, maxLength: 256 })),
  valueFrom: choice("INLINE: as written; HOST: of the proxy's own environment (default INLINE).", ['INLINE', 'HOST']),
  value: text('Its value, with INLINE.', { maxLength: 2048 }),
});

/** Traffic that a plugin sees. */
export const wasmTraffic = message('TrafficSelector', {
  mode: choice('CLIENT: calls of the workload; SERVER: calls to it (default CLIENT_AND_SERVER).', [
    'UNDEFINED',
    'CLIENT',
    'SERVER',
    'CLIENT_AND_SERVER',
  ]),
  ports: list(message('PortSelector', { number: required(portNumber('The port.')) }), 'Ports; none: all.'),
});

const INT32_MIN = -(2 ** 31);

/** The spec of a WasmPlugin. */
export const wasmPlugin = message(
  'WasmPlugin',
  {
    ...attachment,
    url: required(
      text('Where the module is: oci://, https://, http:// or file://; without a scheme oci://.', { minLength: 1 }),
    ),
    sha256: text('SHA-256 of the module, in hex.'),
    imagePullPolicy: choice('When it is fetched again (default IfNotPresent; Always for a tag latest).', [
      'UNSPECIFIED_POLICY',
      'IfNotPresent',
      'Always',
    ]),
    imagePullSecret: text('Secret of the namespace with the credentials.', { minLength: 1, maxLength: 253 }),
    verificationKey: text('Key of a signature (not looked at by Istio either).'),
    pluginConfig: freeForm('What the plugin gets as its configuration; any mapping.'),
    pluginName: text('Name of the plugin in a module with several.', { minLength: 1, maxLength: 256 }),
    phase: choice('Where it stands among the filters (default: last, before the router).', [
      'UNSPECIFIED_PHASE',
      'AUTHN',
      'AUTHZ',
      'STATS',
    ]),
    priority: integer('Order within the phase, the highest first (default 0).', { min: INT32_MIN }),
    failStrategy: choice('What happens to requests when it fails (default FAIL_CLOSE: refused).', [
      'FAIL_CLOSE',
      'FAIL_OPEN',
      'FAIL_RELOAD',
    ]),
    vmConfig: nested(
      message('VmConfig', { env: list(wasmEnvironment, 'Variables, each name once.', { max: 256 }) }),
      'The machine that it runs in.',
    ),
    match: list(wasmTraffic, 'Traffic that it sees, one of them; none: all.'),
    type: choice('HTTP: a filter of requests; NETWORK: of bytes (default HTTP).', [
      'UNSPECIFIED_PLUGIN_TYPE',
      'HTTP',
      'NETWORK',
    ]),
  },
  {
    atMostOneOf: [['selector', 'targetRef', 'targetRefs']],
    instead: { config: 'pluginConfig', image: 'url', pluginconfig: 'pluginConfig' },
  },
);

export type WasmPluginSpec = z.infer<typeof wasmPlugin>;
