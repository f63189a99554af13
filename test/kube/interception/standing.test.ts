// Interception: how rules come, stay and go, for nftables and iptables, in network namespaces.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cast, createCast, PROXY } from './cast.js';
import { canMakeNamespaces, Namespace, OUTSIDE, POD, VIP } from './network.js';
import { at } from './protocol.js';
import { BACKENDS, redirect, standingRules, tryRedirect, USUAL } from './redirect.js';

const possible = canMakeNamespaces();
const WITH_NAMES = [...USUAL, '--ipv6', 'on', '--redirect-dns', '--capture-all-dns', '--drop-invalid'];

describe.skipIf(!possible).each(BACKENDS)('rules of %s', (backend) => {
  let cast: Cast;
  beforeAll(async () => {
    cast = await createCast();
  });
  afterAll(() => cast?.close());

  test('are the same when they are written again', () => {
    redirect(cast.pod, backend, WITH_NAMES);
    const once = standingRules(cast.pod);
    redirect(cast.pod, backend, WITH_NAMES);
    expect(standingRules(cast.pod)).toBe(once);
  });

  test('break no connection when they are written again and again', async () => {
    redirect(cast.pod, backend, WITH_NAMES);
    const { app, outside } = cast.agents;
    const hold = [
      app.ask({ do: 'dial', host: VIP[4], port: 80, hold: 'out' }),
      outside.ask({ do: 'dial', host: POD[6], port: 8080, hold: 'in' }),
    ];
    expect((await Promise.all(hold)).map(({ welcome }) => welcome?.who)).toEqual(['outbound', 'inbound']);
    for (let round = 0; round < 5; round++) {
      const many = app.ask({ do: 'dial-many', host: VIP[4], port: 80, perSecond: 300, seconds: 1 });
      redirect(cast.pod, backend, [...WITH_NAMES, '-q', String(1000 + round)]);
      expect(await many).toMatchObject({ count: 300 });
      expect(await app.ask({ do: 'echo', name: 'out', text: `round ${round}` })).toEqual({});
      expect(await outside.ask({ do: 'echo', name: 'in', text: `round ${round}` })).toEqual({});
    }
  });

  test('are those that --dry-run prints, which itself writes nothing', async () => {
    redirect(cast.pod, backend, WITH_NAMES);
    const other = await Namespace.create();
    try {
      other.run('ip link set lo up');
      const before = standingRules(other);
      const printed = redirect(other, backend, [...WITH_NAMES, '--dry-run']);
      expect(standingRules(other)).toBe(before);
      for (const [, command, input] of printed.matchAll(/^# (.+)\n((?:[^#\n].*\n)*)/gm)) {
        expect(other.tryRun(['sh', '-c', command!], input)).toMatchObject({ exitCode: 0, stderr: '' });
      }
      const rules = (text: string) =>
        text
          .split('\n')
          .filter((line) => /dport|sport|redirect|LATEEN|return/i.test(line))
          .sort();
      expect(rules(standingRules(other))).toEqual(rules(standingRules(cast.pod)));
    } finally {
      await other.close();
    }
  });

  test('leave nothing behind, and rules of others alone', async () => {
    const { pod } = cast;
    redirect(pod, backend, ['--clean']);
    pod.run('iptables -t nat -A OUTPUT -p tcp --dport 4444 -j RETURN; nft add table inet others');
    const before = standingRules(pod);
    redirect(pod, backend, WITH_NAMES);
    expect(standingRules(pod)).not.toBe(before);
    redirect(pod, backend, ['--clean']);
    const empty = /^(\*(raw|mangle)|COMMIT|:.* ACCEPT |table ip6? (raw|mangle|nat) \{|\s*chain .*|\s*type .*|\s*\}|)$/;
    const lines = (text: string) => text.split('\n').filter((line) => !empty.test(line));
    expect(lines(standingRules(pod))).toEqual(lines(before));
    expect(await cast.dial('app', OUTSIDE[4], 8080)).toBe('outside');
    expect(await cast.dial('outside', POD[4], 8080)).toBe('app');
    redirect(pod, backend, ['--clean']);
  });

  test('take the place of those of the other kind', async () => {
    const other = BACKENDS.find((one) => one !== backend)!;
    redirect(cast.pod, other, USUAL);
    redirect(cast.pod, backend, ['-i', '*', '-b', '8080', '--ipv6', 'on']);
    expect(await cast.dial('app', VIP[4], 80)).toBe(`outbound ${at(VIP[4], 80)}`);
    expect(await cast.dial('outside', POD[4], 7070)).toBe('app');
  });

  test('are found by the validation, which needs no privileges, and exits with 126 where there are none', async () => {
    const namespace = await Namespace.create();
    try {
      namespace.run('ip link set lo up');
      const validate = (...args: string[]) =>
        namespace.tryRun([
          ...['setpriv', `--reuid=${PROXY}`, `--regid=${PROXY}`, '--clear-groups', '--no-new-privs'],
          ...[process.execPath, 'apps/redirect/dist/main.js', '--validate', '--probe-timeout', '1s', ...args],
        ]);
      const without = validate();
      expect(without.exitCode).toBe(126);
      expect(without.stderr).toContain("no rules redirect this pod's traffic");
      redirect(namespace, backend, USUAL);
      expect(validate()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('validation passed') });
    } finally {
      await namespace.close();
    }
  });

  test('are refused where settings are wrong, with all faults, and stay as they were', () => {
    redirect(cast.pod, backend, USUAL);
    const before = standingRules(cast.pod);
    const { exitCode, stderr } = tryRedirect(cast.pod, ['-b', '80a', '-i', '10.0.0.0/33', '-o', '70000']);
    expect(exitCode).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([
      'lateen-redirect: --istio-inbound-ports (-b): "80a" is not a port; write a number from 1 to 65535',
      'lateen-redirect: --istio-service-cidr (-i): "10.0.0.0/33" has the prefix length "33"; IPv4 has 0 to 32',
      'lateen-redirect: --istio-local-outbound-ports-exclude (-o): "70000" is not a port; write a number from 1 to 65535',
    ]);
    expect(standingRules(cast.pod)).toBe(before);
  });
});

describe.skipIf(!possible)('lateen-redirect', () => {
  test('says what is missing where it may not change rules', async () => {
    const namespace = await Namespace.create();
    try {
      const { exitCode, stderr } = namespace.tryRun([
        ...['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups'],
        ...[process.execPath, 'apps/redirect/dist/main.js', ...USUAL],
      ]);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/needs the capability NET_ADMIN: run as root .* CNI plugin/);
    } finally {
      await namespace.close();
    }
  });

  test('says what to install where there is neither nft nor iptables', async () => {
    const namespace = await Namespace.create();
    try {
      const { exitCode, stderr } = namespace.tryRun([
        ...['env', 'PATH=/nowhere', process.execPath, 'apps/redirect/dist/main.js', ...USUAL, '--ipv6', 'off'],
      ]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain('install the package nftables (or iptables)');
    } finally {
      await namespace.close();
    }
  });
});
