// Kubernetes tests: builds a real Kubernetes from its Go modules, and runs the tests that use it in namespaces of their own:
// what listens, listens there, and all of it ends with them. `--up` keeps a cluster for a developer instead of running tests.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'test', 'kube', 'cluster');
// Kept between runs, and removed with node_modules.
const programs = join(root, 'node_modules', '.cache', 'kube', 'bin');
const NEEDED = { ip: 'iproute2', nft: 'nftables', iptables: 'iptables', unshare: 'util-linux', mount: 'mount' };

const missing = whatIsMissing();
if (missing === undefined) {
  // For the images alone, whose tests say so where it cannot be had.
  if (!isInstalled('buildah') && isInstalled('apt-get')) installPackages(['buildah']);
  build();
  await fetchStockEnvoy();
  process.exit(await runInNamespaces(process.argv.slice(2)));
}
console.error(`\nSKIPPED: no test cluster: ${missing}\n`);
process.exit(process.env.CI === 'true' ? 1 : 0);

/** Why there can be no cluster here; undefined where there can. */
function whatIsMissing() {
  if (process.platform !== 'linux') return 'it needs Linux (network namespaces)';
  if (process.getuid?.() !== 0) return 'it needs root (network namespaces, mounts): run it with sudo';
  if (!isInstalled('go')) return 'no Go to build Kubernetes with: install it (https://go.dev/dl)';
  const absent = Object.keys(NEEDED).filter((program) => !isInstalled(program));
  if (absent.length > 0 && isInstalled('apt-get')) installPackages(absent.map((program) => NEEDED[program]));
  const still = absent.filter((program) => !isInstalled(program));
  return still.length === 0 ? undefined : `${still.join(', ')} not found: install ${still.map((name) => NEEDED[name])}`;
}

function isInstalled(program) {
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0;
}

function installPackages(names) {
  console.error(`installing ${names.join(', ')} from the system's packages ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...names]]) {
    spawnSync('apt-get', ['-qq', ...args], { stdio: ['ignore', 'ignore', 'inherit'], env });
  }
}

/** Minutes the first time; Go's cache makes the next ones quick. */
function build() {
  mkdirSync(programs, { recursive: true });
  const version = /^\s*k8s\.io\/kubernetes (v1\.(\d+)\.\d+)$/m.exec(readFileSync(join(modules, 'go.mod'), 'utf8'));
  if (version === null) throw new Error(`${modules}/go.mod names no version of k8s.io/kubernetes`);
  const at = 'k8s.io/component-base/version';
  const told = `-X ${at}.gitVersion=${version[1]} -X ${at}.gitMajor=1 -X ${at}.gitMinor=${version[2]}`;
  const started = Date.now();
  for (const [name, folder, source] of [
    ['kube', modules, './kube'],
    ['machine', modules, './machine'],
    ['coredns', join(root, 'test', 'kube', 'dns'), '.'],
  ]) {
    const built = spawnSync(
      'go',
      ['build', '-trimpath', '-ldflags', `-s -w ${told}`, '-o', join(programs, name), source],
      {
        cwd: folder,
        stdio: ['ignore', 'inherit', 'inherit'],
        env: { ...process.env, CGO_ENABLED: '0' },
      },
    );
    if (built.status !== 0) throw new Error(`go build ${source} in ${folder} failed`);
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  if (seconds > 5) console.error(`built Kubernetes ${version[1]} in ${seconds} s`);
}

/** Tests that compare with it would find no network to fetch it by; they say what is missing where it cannot be had. */
async function fetchStockEnvoy() {
  const { obtainStockEnvoy } = await import('../test/dist/harness/stock-envoy.js');
  obtainStockEnvoy();
}

/** @returns the exit code */
function runInNamespaces(args) {
  const state = mkdtempSync(join(tmpdir(), 'lateen-kube-'));
  const [first, ...rest] = args;
  const program =
    first === '--up'
      ? [join(root, 'test', 'dist', 'kube', 'harness', 'up.js'), ...rest]
      : [
          join(root, 'node_modules', 'vitest', 'vitest.mjs'),
          'run',
          '--config',
          'test/kube/vitest.config.ts',
          '--root',
          '.',
          ...args,
        ];
  const child = spawn(
    'unshare',
    [
      ...['--net', '--mount', '--pid', '--ipc', '--uts', '--fork', '--kill-child=SIGKILL', '--mount-proc'],
      // A new network's loopback is down, and not every test starts a cluster.
      ...['sh', '-c', 'ip link set lo up && exec "$@"', 'sh'],
      ...[join(programs, 'machine'), 'init', state, process.execPath, ...program],
    ],
    {
      cwd: root,
      // The last is never written to: it closes when this process ends, however it ends.
      stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
      env: { ...process.env, LATEEN_KUBE_PROGRAMS: programs, LATEEN_KUBE_STATE: state },
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      rmSync(state, { recursive: true, force: true });
      resolve(code ?? 1);
    });
  });
}
