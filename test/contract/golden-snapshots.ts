// Contract: the golden cases of packages/translate as snapshots that a real proxy can be served.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { create } from '@bufbuild/protobuf';
import { parseDocuments, parseMeshConfig } from '@lateen/istio-config';
import {
  buildSnapshot,
  type PackedResource,
  type PackedSet,
  resolveProxyView,
  TranslationCache,
} from '@lateen/translate';
import { anyIs, packAny, TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { type Address, AddressSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ServedSnapshot } from '@lateen/xds-stream';
import { parse, stringify } from 'yaml';
import { readMesh, readProxy } from '../../packages/translate/test/mesh-fixture.js';

const CASES = fileURLToPath(new URL('../../packages/translate/test/cases/', import.meta.url));

/** Of a case: what its proxy is to be served, and what Galley would have said to its configuration. */
export interface GoldenSnapshot {
  readonly name: string;
  readonly snapshot: ServedSnapshot;
  /** Errors of validation: with these the configuration would never have come to a proxy. */
  readonly refusedByGalley: readonly string[];
}

/** Wherever the case's pod is: here every listener takes a free port of loopback. */
function freeAddress(): Address {
  return create(AddressSchema, {
    address: {
      case: 'socketAddress',
      value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: 0 } },
    },
  });
}

/** Under a name of its own, so that what a proxy makes of a case does not depend on the case before. */
function onFreePort(listener: Listener, name: string): Listener {
  listener.name = name;
  // Nothing listens there.
  if (listener.bindToPort === false) return listener;
  listener.address = freeAddress();
  for (const additional of listener.additionalAddresses) additional.address = freeAddress();
  return listener;
}

/** Names of the route configurations that a listener asks for. */
function routesOf({ filterChains }: Listener): string[] {
  return filterChains
    .flatMap(({ filters }) => filters)
    .flatMap(({ configType }) => {
      if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) return [];
      const { routeSpecifier } = unpackAny(configType.value, HttpConnectionManagerSchema);
      return routeSpecifier.case === 'rds' ? [routeSpecifier.value.routeConfigName] : [];
    });
}

/** The resources of a case, as a proxy on this host can have them. */
function servable(caseName: string, resources: ReadonlyMap<string, PackedSet>): ReadonlyMap<string, PackedSet> {
  const listeners = new Map<string, PackedResource>();
  const asked = new Set<string>();
  for (const [listenerName, { version, any }] of resources.get(TYPE_URL.listener) ?? []) {
    const name = `${caseName}/${listenerName}`;
    const listener = unpackAny(any, ListenerSchema);
    for (const route of routesOf(listener)) asked.add(route);
    listeners.set(name, { version, any: packAny(ListenerSchema, onFreePort(listener, name)) });
  }
  // Where a listener got no address nobody asks for its routes.
  const routes = new Map([...(resources.get(TYPE_URL.route) ?? [])].filter(([name]) => asked.has(name)));
  return new Map([...resources, [TYPE_URL.listener, listeners], [TYPE_URL.route, routes]]);
}

/** Validates what Galley would see of a case: its Istio objects and its MeshConfig, not its pods and services. */
function validate(text: string): string[] {
  const problems = text.split(/^---$/m).flatMap((document) => {
    const value = parse(document) as { readonly apiVersion?: string; readonly kind?: string; readonly spec?: unknown };
    const content = value?.kind === 'MeshConfig' ? stringify(value.spec ?? {}) : document;
    const file = { name: 'in.yaml', content };
    if (value?.kind === 'MeshConfig') return parseMeshConfig(file).problems;
    if (!value?.apiVersion?.includes('istio.io')) return [];
    return parseDocuments([file], { defaultNamespace: 'default' }).problems;
  });
  return problems.filter(({ severity }) => severity === 'error').map(({ path, message }) => `${path}: ${message}`);
}

/** All golden cases of proxies, by name. @param forStockEnvoy as Pilot serves them to a node that has none of the mesh's own filters */
export function goldenSnapshots(forStockEnvoy = false): readonly GoldenSnapshot[] {
  return readdirSync(CASES)
    .sort()
    .flatMap((name) => {
      const text = readFileSync(`${CASES}${name}/in.yaml`, 'utf8');
      const input = readMesh(text);
      const { proxy: declared } = readProxy(readFileSync(`${CASES}${name}/proxy.yaml`, 'utf8'), input);
      if (declared.proxyless) return [];
      const proxy = forStockEnvoy ? { ...declared, understandsIstioFilters: false } : declared;
      const { resources, faults } = new TranslationCache().translate(
        resolveProxyView(buildSnapshot(input), proxy, true),
      );
      if (faults.length > 0) throw new Error(`${name}: ${faults[0]?.message}`);
      return {
        name,
        snapshot: { version: name, resources: servable(name, resources) },
        refusedByGalley: validate(text),
      };
    });
}
