// Kind WorkloadGroup: what workloads outside of Kubernetes have in common; each that connects gets a WorkloadEntry.
import type { z } from 'zod';
import { labelNameFault } from '../../declare/formats.js';
import { tokenHeaderName } from '../../declare/formats-of-tokens.js';
import { labels } from '../../declare/labels.js';
import { list, map, message, nested, required } from '../../declare/message.js';
import { integer, portNumber, text } from '../../declare/scalars.js';
import { workloadEntry } from './workload-entry.js';

const httpGet = message('HTTPHealthCheckConfig', {
  path: text('The path (default /).'),
  port: required(portNumber('The port.')),
  host: text('The host (default: the address of the workload).'),
  scheme: text('HTTP or HTTPS (default HTTP).'),
  httpHeaders: list(
    message('HTTPHeader', {
      name: text('Its name.', { format: tokenHeaderName }),
      value: text('Its value.'),
    }),
    'Headers of the request.',
  ),
});

const tcpSocket = message('TCPHealthCheckConfig', {
  host: text('The host (default: the address of the workload).'),
  port: required(portNumber('The port.')),
});

const exec = message('ExecHealthCheckConfig', {
  command: required(list(text('', { minLength: 1 }), 'The command and its arguments.', { min: 1 })),
});

const grpc = message('GrpcHealthCheckConfig', {
  service: text('The service that is asked for.'),
  port: portNumber('The port.'),
});

/** How it is found out whether a workload is ready. */
export const readinessProbe = message(
  'ReadinessProbe',
  {
    initialDelaySeconds: integer('Time before the first probe.'),
    timeoutSeconds: integer('Time that a probe may take (default 1).'),
    periodSeconds: integer('Time between probes (default 10).'),
    successThreshold: integer('Good probes in a row until it is ready (default 1).'),
    failureThreshold: integer('Bad probes in a row until it is not (default 3).'),
    httpGet: nested(httpGet, 'Ready where the answer is 200 to 399.'),
    tcpSocket: nested(tcpSocket, 'Ready where a connection is accepted.'),
    exec: nested(exec, 'Ready where the command ends with 0.'),
    grpc: nested(grpc, "Ready where the server's health service says so."),
  },
  { exactlyOneOf: [['httpGet', 'tcpSocket', 'exec', 'grpc']] },
);

/** The spec of a WorkloadGroup. */
export const workloadGroup = message('WorkloadGroup', {
  metadata: nested(
    message('ObjectMeta', {
      labels: labels('Labels of each WorkloadEntry.'),
      annotations: map(text(''), 'Annotations of each WorkloadEntry.', labelNameFault),
    }),
    'Metadata of each WorkloadEntry.',
  ),
  template: required(nested(workloadEntry, 'What each WorkloadEntry begins as; the address comes from the workload.')),
  probe: nested(readinessProbe, 'How it is found out whether a workload is ready; none: it is.'),
});

export type WorkloadGroupSpec = z.infer<typeof workloadGroup>;
