// Support table: it names real fields, and the walker reports paths through every Any.

import {
  create,
  type DescField,
  type DescMessage,
  type Message,
  type MessageInitShape,
  ScalarType,
} from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { packAny, TYPE_URL, xdsRegistry } from '@lateen/xds-proto';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TypedStructSchema } from '@lateen/xds-proto/xds/type/v3/typed_struct_pb.js';
import { describe, expect, it } from 'vitest';
import { findProblems } from '../decode-resource.js';
import { CONTROL_PLANE_CLUSTER_SUPPORT } from './bootstrap-support.js';
import { SUPPORT_TABLE } from './support-table.js';
import { findUnsupported } from './walk-support.js';

/** Every message that the registry's messages are made of. */
function allMessages(): Map<string, DescMessage> {
  const all = new Map<string, DescMessage>();
  const visit = (desc: DescMessage) => {
    if (all.has(desc.typeName)) return;
    all.set(desc.typeName, desc);
    for (const field of desc.fields) if (field.message !== undefined) visit(field.message);
  };
  for (const type of xdsRegistry) if (type.kind === 'message') visit(type);
  return all;
}

describe('the support table', () => {
  const messages = allMessages();
  it.each([...Object.entries(SUPPORT_TABLE), ...Object.entries(CONTROL_PLANE_CLUSTER_SUPPORT)])(
    '%s names real fields, each once',
    (typeName, support) => {
      const desc = messages.get(typeName);
      expect(desc, `${typeName} is not a message`).toBeDefined();
      const names = new Set(desc?.fields.map(({ name }) => name));
      const groups = [
        support.acted,
        Object.keys(support.inert ?? {}),
        Object.keys(support.only ?? {}),
        Object.keys(support.refused ?? {}),
      ];
      const all = groups.flat();
      expect(all.filter((name) => !names.has(name))).toEqual([]);
      expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([]);
      for (const field of Object.keys(support.notes ?? {})) expect(support.acted).toContain(field);
      for (const [field, types] of Object.entries(support.anyOf ?? {})) {
        expect(support.acted).toContain(field);
        for (const type of types) expect(xdsRegistry.getMessage(type), type).toBeDefined();
      }
    },
  );
});

/** A message with one field set, to anything that is not its default. */
function withField(schema: DescMessage, field: DescField): Message {
  const message = create(schema);
  const target = reflect(schema, message);
  const one = (desc: DescMessage | undefined) => reflect(desc as DescMessage);
  const scalar = (type: ScalarType | undefined) => {
    if (type === ScalarType.STRING) return 'x';
    if (type === ScalarType.BOOL) return true;
    if (type === ScalarType.BYTES) return new Uint8Array([1]);
    const long = [ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64];
    return long.includes(type as ScalarType) ? 1n : 1;
  };
  const scalarOrEnum = ({ scalar: type }: { readonly scalar: ScalarType | undefined }) =>
    type === undefined ? 1 : scalar(type);
  switch (field.fieldKind) {
    case 'list':
      target.get(field).add(field.listKind === 'message' ? one(field.message) : scalarOrEnum(field));
      break;
    case 'map':
      target
        .get(field)
        .set(scalar(field.mapKey) as string, field.mapKind === 'message' ? one(field.message) : scalarOrEnum(field));
      break;
    case 'message':
      target.set(field, one(field.message));
      break;
    case 'enum':
      target.set(field, field.enum.values.at(-1)?.number ?? 1);
      break;
    default:
      target.set(field, scalar(field.scalar));
  }
  return message;
}

describe('what no table lists', () => {
  const messages = allMessages();
  it.each(Object.keys(SUPPORT_TABLE))('%s: every other field is refused by name', (typeName) => {
    const schema = messages.get(typeName);
    const support = SUPPORT_TABLE[typeName];
    if (schema === undefined || support === undefined) throw new Error(`${typeName} is not there`);
    const silent: string[] = [];
    for (const field of schema.fields) {
      const taken = support.acted.includes(field.name) || field.name in (support.inert ?? {});
      if (taken || field.name in (support.only ?? {})) continue;
      const problems = findUnsupported(schema, withField(schema, field), SUPPORT_TABLE);
      const first = problems[0];
      if (first?.path !== field.name || !first.message.startsWith('field is not supported')) silent.push(field.name);
    }
    expect(silent).toEqual([]);
  });

  it('is not what a table says is acted on', () => {
    const missing: string[] = [];
    for (const [typeName, support] of Object.entries(SUPPORT_TABLE)) {
      for (const field of messages.get(typeName)?.fields ?? []) {
        if (!support.acted.includes(field.name)) continue;
        const contents = support.anyOf?.[field.name] ?? [field.message?.typeName ?? 'google.protobuf'];
        for (const content of contents) {
          const known = content.startsWith('google.protobuf') || content.endsWith('.TypedStruct');
          if (!known && SUPPORT_TABLE[content] === undefined) missing.push(`${typeName}.${field.name}: ${content}`);
        }
      }
    }
    expect(missing).toEqual([]);
  });
});

function listenerWith(hcm: MessageInitShape<typeof HttpConnectionManagerSchema>) {
  return create(ListenerSchema, {
    name: 'l',
    filterChains: [
      {
        filters: [
          {
            name: 'hcm',
            configType: {
              case: 'typedConfig',
              value: packAny(HttpConnectionManagerSchema, create(HttpConnectionManagerSchema, hcm)),
            },
          },
        ],
      },
    ],
  });
}

const HCM_PATH = 'filter_chains[0].filters[0].typed_config';

describe('findUnsupported', () => {
  it('names a field inside an Any by its full path', () => {
    const listener = listenerWith({ skipXffAppend: true, addUserAgent: true, xffNumTrustedHops: 1 });
    expect(findUnsupported(ListenerSchema, listener, SUPPORT_TABLE)).toEqual([
      { path: `${HCM_PATH}.add_user_agent`, message: 'field is not supported' },
    ]);
  });

  it('names enum values that are not supported', () => {
    const [problem] = findUnsupported(ListenerSchema, listenerWith({ codecType: 3 }), SUPPORT_TABLE);
    expect(problem).toEqual({
      path: `${HCM_PATH}.codec_type`,
      message: 'HTTP3 is not supported; only AUTO, HTTP1, HTTP2',
    });
  });

  it('looks into the plugin configurations of Istio', () => {
    const stats = (value: object) =>
      listenerWith({
        httpFilters: [
          {
            name: 'istio.stats',
            configType: {
              case: 'typedConfig',
              value: packAny(
                TypedStructSchema,
                create(TypedStructSchema, { typeUrl: 'type.googleapis.com/stats.PluginConfig', value: value as never }),
              ),
            },
          },
        ],
      });
    const good = { metrics: [{ name: 'requests_total', dimensions: { a: 'b' }, tags_to_remove: ['x'] }] };
    expect(findUnsupported(ListenerSchema, stats(good), SUPPORT_TABLE)).toEqual([]);
    expect(findUnsupported(ListenerSchema, stats({ metrics: [{ match: 'x', drop: 'yes' }] }), SUPPORT_TABLE)).toEqual([
      { path: `${HCM_PATH}.http_filters[0].typed_config.value.metrics[0].match`, message: 'field is not supported' },
      { path: `${HCM_PATH}.http_filters[0].typed_config.value.metrics[0].drop`, message: 'expected true or false' },
    ]);
  });
});

describe('findProblems', () => {
  it('checks values: domains, weights, ranges, required fields', () => {
    const routes = create(RouteConfigurationSchema, {
      virtualHosts: [
        {
          name: 'a',
          domains: ['Example.com', '*'],
          routes: [
            { match: { pathSpecifier: { case: 'prefix', value: '/' } } },
            {
              match: { pathSpecifier: { case: 'path', value: 'x' } },
              action: {
                case: 'route',
                value: {
                  clusterSpecifier: { case: 'weightedClusters', value: { clusters: [{ name: '', weight: 0 }] } },
                  timeout: { seconds: -1n },
                },
              },
            },
          ],
        },
        { name: 'a', domains: ['example.com'] },
        { name: 'c' },
      ],
    });
    const route = 'virtual_hosts[0].routes';
    expect(findProblems(TYPE_URL.route, routes).map(({ path }) => path)).toEqual([
      'name',
      'virtual_hosts[1].name',
      'virtual_hosts[1].domains[0]',
      `${route}[0]`,
      `${route}[1].match.path`,
      `${route}[1].route.weighted_clusters.clusters[0].name`,
      `${route}[1].route.weighted_clusters`,
      `${route}[1].route.timeout`,
      'virtual_hosts[2].domains',
    ]);
  });

  it('checks listeners: address, port, router, route source', () => {
    const listener = listenerWith({ httpFilters: [] });
    listener.address = {
      $typeName: 'envoy.config.core.v3.Address',
      address: {
        case: 'socketAddress',
        value: {
          $typeName: 'envoy.config.core.v3.SocketAddress',
          protocol: 0,
          address: 'localhost',
          portSpecifier: { case: 'portValue', value: 70_000 },
          resolverName: '',
          ipv4Compat: false,
        },
      },
    };
    expect(findProblems(TYPE_URL.listener, listener).map(({ path }) => path)).toEqual([
      'address.socket_address.address',
      'address.socket_address.port_value',
      HCM_PATH,
      `${HCM_PATH}.http_filters`,
    ]);
  });
});
