// The built program, where there are neither privileges nor network namespaces; with them: test/kube/interception.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../../../bin/lateen-redirect', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'lateen-redirect-'));
afterAll(() => rmSync(directory, { recursive: true }));

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const result = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
  return { exitCode: result.status, stdout: result.stdout, stderr: result.stderr };
}

test('prints what it would write, by flags, variables and annotations, in this order', () => {
  const file = join(directory, 'annotations');
  writeFileSync(
    file,
    'traffic.sidecar.istio.io/excludeOutboundPorts="25"\ntraffic.sidecar.istio.io/excludeInboundPorts="9090"\n',
  );
  const { exitCode, stdout } = run(
    ['--dry-run', '--mode', 'nftables', '--ipv6', 'off', '-p', '16001', '--from-annotations', file, '-o', '26'],
    { ENVOY_PORT: '17001', INBOUND_CAPTURE_PORT: '16006', PATH: '/nowhere' },
  );
  expect(exitCode).toBe(0);
  expect(stdout).toContain('tcp dport { 15008, 9090, 15020, 15021, 15090 } return');
  expect(stdout).toContain('tcp dport 26 return');
  expect(stdout).not.toContain('25 return');
  expect(stdout).toContain('redirect to :16001');
  expect(stdout).toContain('redirect to :16006');
});

test('names a fault by the annotation that it stands in, and the line of a file that it cannot read', () => {
  const file = join(directory, 'wrong');
  writeFileSync(file, 'traffic.sidecar.istio.io/includeInboundPorts="web"\n');
  expect(run(['--dry-run', '--from-annotations', file])).toMatchObject({
    exitCode: 1,
    stderr:
      'lateen-redirect: annotation traffic.sidecar.istio.io/includeInboundPorts: "web" is not a port; write a number from 1 to 65535\n',
  });
  writeFileSync(file, 'a="b"\nhello\n');
  expect(run(['--dry-run', '--from-annotations', file]).stderr).toContain(`${file}:2: expected KEY="VALUE"`);
});

test('does nothing for a pod that wants no redirection', () => {
  const file = join(directory, 'none');
  writeFileSync(file, 'sidecar.istio.io/interceptionMode="NONE"\n');
  expect(run(['--from-annotations', file])).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('no redirection'),
  });
});
