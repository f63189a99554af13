// Security: a bootstrap file that is wrong is refused with the place of the fault, before anything is started.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startApp } from '../harness/app-process.js';
import { cluster, type Json, listener, node, toCluster } from './proxy-under-test.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const step of cleanups.splice(0)) step();
});

describe('a bootstrap file', () => {
  const VALID = (): Json => ({
    ...node(1),
    static_resources: { listeners: [listener('l', 10_000, { routes: [toCluster('c')] })], clusters: [cluster('c', 9)] },
  });
  const hcmPath = 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config';
  const at = (path: string, value: unknown): Json => {
    const copy = JSON.parse(JSON.stringify(VALID())) as Json;
    const keys = path.replaceAll(/\[(\d+)\]/g, '.$1').split('.');
    const last = keys.pop() ?? '';
    let object = copy as Record<string, unknown>;
    for (const key of keys) object = object[key] as Record<string, unknown>;
    object[last] = value;
    return copy;
  };
  const CASES: readonly (readonly [string, string | Json, RegExp])[] = [
    ['no YAML', 'a: [b', /bootstrap\.yaml:\d+:\d+/],
    ['an empty file', '', /bootstrap\.yaml/],
    ['a list', '- a', /bootstrap\.yaml/],
    [
      'an unknown field',
      at('static_resources.listener', []),
      /bootstrap\.yaml:\d+:\d+ static_resources\.listener\b.*listeners/,
    ],
    [
      'an unknown field deep down',
      at(`${hcmPath}.normalise_path`, true),
      /:\d+:\d+ .*typed_config\.normalise_path.*normalize_path/,
    ],
    ['a wrong type', at('static_resources.listeners[0].name', 5), /:\d+:\d+ .*listeners\[0\]\.name/],
    ['a wrong enum', at('static_resources.clusters[0].type', 'STATICK'), /:\d+:\d+ .*clusters\[0\]\.type/],
    [
      'a wrong duration',
      at('static_resources.clusters[0].connect_timeout', '5q'),
      /:\d+:\d+ .*clusters\[0\]\.connect_timeout/,
    ],
    [
      'a negative duration',
      at('static_resources.clusters[0].connect_timeout', '-5s'),
      /:\d+:\d+ .*clusters\[0\]\.connect_timeout/,
    ],
    [
      'a port out of range',
      at('static_resources.listeners[0].address.socket_address.port_value', 70_000),
      /:\d+:\d+ .*port_value/,
    ],
    [
      'a filter that is not supported',
      at(`${hcmPath}.http_filters[0]`, {
        name: 'lua',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua' },
      }),
      /:\d+:\d+ .*http_filters\[0\]/,
    ],
    [
      'an unknown type',
      at('static_resources.listeners[0].filter_chains[0].filters[0].typed_config', {
        '@type': 'type.googleapis.com/x.Y',
      }),
      /:\d+:\d+ .*typed_config/,
    ],
    [
      'a header value with a line end',
      at(`${hcmPath}.route_config.response_headers_to_add`, [{ header: { key: 'a', value: 'b\r\nset-cookie: c' } }]),
      /:\d+:\d+ .*response_headers_to_add/,
    ],
    [
      'a header name with a space',
      at(`${hcmPath}.route_config.request_headers_to_add`, [{ header: { key: 'a b', value: 'c' } }]),
      /:\d+:\d+ .*request_headers_to_add/,
    ],
    [
      'a redirect with a line end',
      at(`${hcmPath}.route_config.virtual_hosts[0].routes[0]`, {
        match: { prefix: '/' },
        redirect: { path_redirect: '/a\r\nx: y' },
      }),
      /:\d+:\d+ .*path_redirect/,
    ],
    [
      'a host rewrite with a line end',
      at(`${hcmPath}.route_config.virtual_hosts[0].routes[0].route.host_rewrite_literal`, 'a\r\nx: y'),
      /:\d+:\d+ .*host_rewrite_literal/,
    ],
    [
      'a prefix rewrite with a space',
      at(`${hcmPath}.route_config.virtual_hosts[0].routes[0].route.prefix_rewrite`, '/a b'),
      /:\d+:\d+ .*prefix_rewrite/,
    ],
    [
      'a regular expression that has to go back',
      at(`${hcmPath}.route_config.virtual_hosts[0].routes[0].match`, { safe_regex: { regex: '(a+)+\\1$' } }),
      /:\d+:\d+ .*safe_regex/,
    ],
    [
      'a route to a cluster that there is not',
      at('static_resources.clusters', []),
      /:\d+:\d+ .*virtual_hosts\[0\]\.routes\[0\]\.route\.cluster: there is no cluster "c"/,
    ],
    // Of 0.0.0.0 the loopback address is used: apps/sidecar/src/config/bootstrap.test.ts.
    ['an admin port for others', at('admin.address.socket_address.address', '192.0.2.1'), /:\d+:\d+ admin\.address/],
    [
      'a certificate file that is missing',
      at('static_resources.listeners[0].filter_chains[0].transport_socket', {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          common_tls_context: {
            tls_certificates: [{ certificate_chain: { filename: '/nowhere' }, private_key: { filename: '/nowhere' } }],
          },
        },
      }),
      /:\d+:\d+ .*tls_certificates\[0\]/,
    ],
  ];

  test.each(CASES)('with %s is refused by its place, and nothing is started', async (_why, content, expected) => {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-security-'));
    cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
    const path = join(directory, 'bootstrap.yaml');
    writeFileSync(path, typeof content === 'string' ? content : stringify(content));
    const app = startApp('sidecar', ['--config-path', path, '--mode', 'validate']);
    const code = await new Promise((resolve) => app.child.once('close', resolve));
    expect(app.output()).toMatch(expected);
    expect(app.output()).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });
});
