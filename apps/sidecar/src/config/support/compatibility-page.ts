// Support table: docs/compatibility.md, one table for each message that can be reached. Written by tools/compatibility.mjs.

import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { BootstrapSchema } from '@lateen/xds-proto/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { CONTROL_PLANE_CLUSTER_SUPPORT } from './bootstrap-support.js';
import { STRUCT_SUPPORT } from './plugin-support.js';
import { SUPPORT_TABLE } from './support-table.js';
import type { MessageSupport, StructSupport } from './support-types.js';

const ROOTS: readonly (readonly [title: string, schema: DescMessage])[] = [
  ['Bootstrap file', BootstrapSchema],
  ['Listener (LDS)', ListenerSchema],
  ['RouteConfiguration (RDS)', RouteConfigurationSchema],
  ['Cluster (CDS)', ClusterSchema],
  ['ClusterLoadAssignment (EDS)', ClusterLoadAssignmentSchema],
  ['Secret (SDS)', SecretSchema],
];

const INTRODUCTION = `# Compatibility with Envoy's API

What a Lateen sidecar does with each field of Envoy's v3 API, wherever it comes from: a bootstrap file, ADS, or a file of
\`path_config_source\`. This page is written from the tables that validation uses (\`apps/sidecar/src/config/support\`, by
\`npm run docs:compatibility\`), so it cannot say anything else than what the program does.

* **supported**: acted on. "Only" lists the values that are; another one is refused.
* **inert**: accepted, and changes nothing for a request; the reason is given.
* **refused**: a bootstrap file with it does not start, a resource with it is refused with its path (a NACK over ADS), and
  the last good version stays.

A message or field that no table here names is refused as well: \`field is not supported\`, or \`TYPE is not supported\`. A
field that the published protos of this build do not know is refused as unknown.

## The discovery protocol

| what | what happens |
|---|---|
| ADS, state of the world and incremental | supported, over gRPC; one stream for all types that name \`ads\` |
| \`path_config_source\` | supported for every type: YAML, JSON or binary protobuf (\`.pb\`); the text form of protobuf is refused |
| a gRPC stream of its own for one type, REST | refused; the one gRPC cluster \`sds-grpc\` stands for the sidecar's own certificate |
| wildcard | supported, in the old form (a first request without names); names on demand besides it are sent with \`*\` |
| \`initial_resource_versions\` | sent with each new stream, also after a restart |
| time to live of a resource | ignored: the client does not claim to support it, a resource stays until it is changed or removed, and a heartbeat without a resource changes nothing |
| aliases of a resource | ignored: an alias is no name of its own |
| a refused listener whose address became free | acknowledged late: the response that was refused is answered again, without an error |
| \`error_detail\` | names every resource and field at fault; what is good of a response is taken |
| \`layered_runtime\` | static layers only: \`overload.global_downstream_max_connections\` and \`envoy.resource_limits.listener.NAME.connection_limit\` are kept; keys of \`re2.\`, \`envoy.reloadable_features.\` and the like are accepted with a warning; any other key is refused |
| \`admin.address\` | a loopback address; of \`0.0.0.0\` and \`::\` the loopback address is used, with a warning; any other is refused |
| one value where a list is expected | is a list of that value, as in Envoy |
| a listener of the bootstrap file without a name | is named \`ADDRESS_PORT\` |
| LOGICAL_DNS | the address in use stays as long as the name has it; when it changes, idle connections to the old one are closed |

## HTTP/2

\`test/interop/h2spec.test.ts\` runs h2spec 2.2.1, unmodified, with its strict tests (146) against a sidecar: all pass at a listener with
\`codec_type: HTTP2\`, and over TLS that has settled on \`h2\`. Where HTTP/1.1 may be spoken too in plaintext (AUTO), one is not met: *3.5, sends invalid connection preface*. What is no preface is taken for HTTP/1.1 and answered 400 by that
version before the connection is closed; the tester wants to see the end of the connection alone. (\`node:http2\` of Node 20 fails 7 of them, Envoy 1.40 fails 12.)

Heads that are malformed (RFC 9113, 8.1.1) are, as in Envoy, a stream error, or the end of the connection without \`stream_error_on_invalid_http_messaging\`.

| what | Envoy | Lateen | why |
|---|---|---|---|
| \`host\` that differs from \`:authority\` | \`host\` is dropped | malformed | RFC 9113, 8.3.1 |
| white space at the ends of a value | taken | malformed | RFC 9113, 8.2.1 |
| neither \`:authority\` nor \`host\` | malformed | 400 | the head goes on through the reader of HTTP/1.1's heads, which answers |
| \`content-length\`, \`host\`, \`te\` or \`cookie\` in trailers | passed on | malformed | RFC 9110, 6.5.1: what frames or routes a message comes too late there |
| \`te: trailers\` of a request that is not gRPC | passed on | dropped | as every other field of one hop |
| heads to a peer | use its dynamic table | use the static one alone | nothing is kept for each connection, and secrets are marked never to be indexed |

`;

/** @param differences from stock Envoy, written by hand: a section in Markdown */
export function compatibilityPage(differences: string): string {
  const seen = new Set<string>();
  const parts = [INTRODUCTION, differences];
  for (const [title, schema] of ROOTS) {
    const messages = reachable(schema).filter(({ typeName }) => !seen.has(typeName));
    for (const { typeName } of messages) seen.add(typeName);
    parts.push(`## ${title}\n`, ...messages.map((message) => messageTable(message, SUPPORT_TABLE[message.typeName])));
  }
  parts.push(
    '## Clusters that lead to a control plane\n',
    'The cluster that `ads_config` names is dialled by the gRPC library, so other fields count there.\n',
    ...Object.entries(CONTROL_PLANE_CLUSTER_SUPPORT).map(([typeName, support]) =>
      messageTable(xdsRegistry.getMessage(typeName), support, typeName),
    ),
    "## Istio's plugin configurations (TypedStruct)\n",
    ...Object.entries(STRUCT_SUPPORT).map(([typeName, support]) => structTable(typeName, support)),
  );
  return `${parts.join('\n').trimEnd()}\n`;
}

/** Messages in the order in which fields lead to them; only those that a table takes. */
function reachable(root: DescMessage): DescMessage[] {
  const found = new Map<string, DescMessage>();
  const visit = (message: DescMessage) => {
    const support = SUPPORT_TABLE[message.typeName];
    if (found.has(message.typeName) || support === undefined) return;
    found.set(message.typeName, message);
    for (const field of message.fields) {
      if (!support.acted.includes(field.name)) continue;
      for (const typeName of support.anyOf?.[field.name] ?? []) {
        const content = xdsRegistry.getMessage(typeName);
        if (content !== undefined) visit(content);
      }
      if (field.message !== undefined && field.message.typeName !== 'google.protobuf.Any') visit(field.message);
    }
  };
  visit(root);
  return [...found.values()];
}

function messageTable(
  message: DescMessage | undefined,
  support: MessageSupport | undefined,
  typeName = message?.typeName ?? '',
): string {
  if (message === undefined || support === undefined) throw new Error(`${typeName} is in no table`);
  const rows = message.fields.map((field) => fieldRow(field, support));
  const silent = rows.filter((row) => row === undefined).length;
  const lines = rows.filter((row) => row !== undefined);
  const rest = silent === 0 ? '' : `\nEvery other field (${silent}) is refused.\n`;
  const table = lines.length === 0 ? '' : `\n| field | standing | remark |\n|---|---|---|\n${lines.join('\n')}\n`;
  return `### \`${typeName}\`\n${table}${rest}`;
}

/** Undefined for a field of which there is nothing to say but that it is refused. */
function fieldRow(field: DescField, support: MessageSupport): string | undefined {
  const { name } = field;
  const inert = support.inert?.[name];
  if (inert !== undefined) return row(name, 'inert', inert);
  const only = support.only?.[name];
  if (only !== undefined) return row(name, 'supported', `only ${only.map((value) => `\`${value}\``).join(', ')}`);
  const refused = support.refused?.[name];
  if (refused !== undefined) return row(name, 'refused', refused);
  if (!support.acted.includes(name)) return undefined;
  const types = support.anyOf?.[name];
  const note = support.notes?.[name] ?? '';
  return row(
    name,
    'supported',
    types === undefined ? note : `of type ${types.map((type) => `\`${type}\``).join(', ')}`,
  );
}

function structTable(typeName: string, support: StructSupport): string {
  const lines = [
    ...Object.keys(support.acted).map((name) => row(name, 'supported', '')),
    ...Object.entries(support.inert ?? {}).map(([name, reason]) => row(name, 'inert', reason)),
  ];
  return `### \`${typeName}\`\n\n| field | standing | remark |\n|---|---|---|\n${lines.join('\n')}\n\nEvery other field is refused.\n`;
}

function row(name: string, standing: string, remark: string): string {
  return `| \`${name}\` | ${standing} | ${remark.replaceAll('|', '\\|')} |`.replace(/ {2}\|$/, ' |');
}
