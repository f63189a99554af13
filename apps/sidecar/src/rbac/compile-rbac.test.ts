// RBAC: what a configuration is told where its rules do not fit into the memory.

import { createCore, RBAC_REGION_BYTES } from '@lateen/filters-wasm';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { RBACSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { expect, it } from 'vitest';
import { compileHttpRbac } from './compile-rbac.js';
import { RbacStatistics } from './rbac-counts.js';

it('says how much room rules need and how much there is', () => {
  const core = createCore();
  core.rbac.intern(new Uint8Array(RBAC_REGION_BYTES - 64), 0);
  const problems: string[] = [];
  const config = fromEnvoyJson(RBACSchema, { rules: { action: 'DENY' } });
  const context = {
    core,
    rbacCounts: new RbacStatistics(),
    nowMs: 0,
    compiledRules: new Map(),
    problem: (path: string, message: string) => problems.push(`${path} ${message}`),
  };
  const filter = compileHttpRbac(config, 'http_filters[0].typed_config', 'p', context);
  expect(filter.rules).toBeNull();
  expect(problems).toEqual([
    expect.stringMatching(
      /^http_filters\[0\]\.typed_config\.rules needs \d+ bytes of the memory for access rules, of which \d+ are free$/,
    ),
  ]);
});
