// Golden cases: cases/CASE/{in.yaml,proxy.yaml,why} → out.yaml. `UPDATE_GOLDEN=1` writes out.yaml; read the difference.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toJson } from '@bufbuild/protobuf';
import { toEnvoyJson } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { NameTableSchema } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import {
  buildResources,
  buildSnapshot,
  checkConsistency,
  type ProxyResources,
  resolveProxyView,
} from '../src/index.js';
import { readMesh, readProxy, type Shown, TEST_ROOT } from './mesh-fixture.js';

const CASES = join(TEST_ROOT, 'cases');

function isShown(patterns: readonly string[] | undefined, name: string): boolean {
  return (patterns ?? []).some((pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name,
  );
}

/** All names, the chosen resources in Envoy's form, and the problems. */
function render(resources: ProxyResources, show: Shown): string {
  const shown: Record<string, unknown> = {
    names: {
      clusters: resources.clusters.map(({ name }) => name),
      endpoints: resources.endpoints.map(({ name }) => name),
      listeners: resources.listeners.map(({ name }) => name),
      routes: resources.routes.map(({ name }) => name),
      ...(resources.secrets.length > 0 ? { secrets: resources.secrets.map(({ name }) => name) } : {}),
    },
  };
  const put = (key: keyof Shown, values: unknown[]) => {
    if (values.length > 0) shown[key] = values;
  };
  const { clusters, endpoints, listeners, routes } = resources;
  const wanted = <T extends { readonly name: string }>(list: readonly T[], key: keyof Shown) =>
    list.filter(({ name }) => isShown(show[key], name));
  put(
    'clusters',
    wanted(clusters, 'clusters').map(({ message }) => toEnvoyJson(ClusterSchema, message)),
  );
  put(
    'endpoints',
    wanted(endpoints, 'endpoints').map(({ message }) => toEnvoyJson(ClusterLoadAssignmentSchema, message)),
  );
  put(
    'listeners',
    wanted(listeners, 'listeners').map(({ message }) => toEnvoyJson(ListenerSchema, message)),
  );
  put(
    'routes',
    wanted(routes, 'routes').map(({ message }) => toEnvoyJson(RouteConfigurationSchema, message)),
  );
  put(
    'names',
    wanted(resources.names, 'names').map(({ message }) => toJson(NameTableSchema, message)),
  );
  if (resources.problems.length > 0) shown.problems = resources.problems;
  return stringify(shown, { aliasDuplicateObjects: false, lineWidth: 0 });
}

describe('golden cases', () => {
  for (const name of readdirSync(CASES).sort()) {
    const file = (part: string) => join(CASES, name, part);
    it(`${name}: ${readFileSync(file('why'), 'utf8').trim()}`, () => {
      const input = readMesh(readFileSync(file('in.yaml'), 'utf8'));
      const { proxy, show } = readProxy(readFileSync(file('proxy.yaml'), 'utf8'), input);
      const resources = buildResources(resolveProxyView(buildSnapshot(input), proxy, true));
      expect(checkConsistency(resources)).toEqual([]);
      const actual = render(resources, show);
      if (process.env.UPDATE_GOLDEN === '1' || !existsSync(file('out.yaml'))) writeFileSync(file('out.yaml'), actual);
      // By value: how the file is laid out is the formatter's business.
      expect(parse(actual)).toEqual(parse(readFileSync(file('out.yaml'), 'utf8')));
    });
  }
});
