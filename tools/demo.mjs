// The demo: Bookinfo behind a real mesh, with the documents of the users' handbook. `--check` proves it and ends.
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LATEENCTL = join(root, 'bin', 'lateenctl');
const READY_TIMEOUT_SECONDS = 60;
const PAGE_LIMIT_MS = 30_000;
const SIDECAR_NAMESPACE = 'sidecar-scope-demo';

const HELP = `Usage: npm run demo -- [options]

  --ingress-port N   port of 127.0.0.1 for the page (8080; 0 for any free port)
  --state-dir DIR    state directory (.lateen)
  --check            prove the demo on free ports in a directory of its own, and end
  --only LINES       with --check: only these acceptance lines, for example 2,4
  --keep             with --check: keep the state directory and its logs
`;

const { values: flags } = readFlags();
if (flags.help) {
  console.log(HELP);
  process.exit(0);
}
const checking = flags.check === true;
const stateDir = checking ? mkdtempSync(join(tmpdir(), 'lateen-demo-')) : (flags['state-dir'] ?? join(root, '.lateen'));
const ingressPort = checking ? '0' : (flags['ingress-port'] ?? '8080');

let mesh;
// The supervisor leads a process group of its own, so Ctrl-C reaches only the demo, which asks it to end everything.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => mesh?.stop());
process.exitCode = await main();

async function main() {
  try {
    mesh = startMesh();
    const address = await mesh.ready;
    await applyHandbook();
    await pageShows(`${address}/productpage`);
    if (checking) return await check(address);
    printWhatToTry(address);
    await mesh.ended;
    return 0;
  } catch (error) {
    console.error(`demo: ${error.message}`);
    return 1;
  } finally {
    await mesh?.stop();
    if (checking && flags.keep) console.error(`state and logs are in ${stateDir}`);
    else if (checking) rmSync(stateDir, { recursive: true, force: true });
  }
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        check: { type: 'boolean' },
        keep: { type: 'boolean' },
        only: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        'ingress-port': { type: 'string' },
        'state-dir': { type: 'string' },
      },
    });
  } catch (error) {
    console.error(`${error.message}\n\n${HELP}`);
    process.exit(2);
  }
}

/** Starts the mesh with Bookinfo as `lateenctl local up --foreground`, which ends with this process. */
function startMesh() {
  console.log('Starting Galley, Pilot, Citadel, the gateway and Bookinfo with its sidecars ...');
  takeMeshConfig();
  const args = [LATEENCTL, 'local', 'up', '--foreground', '-f', join(root, 'examples/bookinfo/bookinfo.yaml')];
  args.push('--state-dir', stateDir, '--ingress-port', ingressPort);
  args.push('--timeout', String(READY_TIMEOUT_SECONDS), '--log-level', 'warn');
  // It watches a pipe from this process: should the demo be killed, it ends everything just the same.
  const child = spawn(process.execPath, [...args, '--exit-with-parent'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-4000);
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const ready = new Promise((resolve, reject) => {
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      const match = /ingress at (http:\/\/\S+?);/.exec(output);
      if (match !== null) resolve(match[1]);
    });
    child.once('error', reject);
    child.once('close', () => reject(new Error(explain(errors))));
  });
  const stop = () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    return ended;
  };
  return { ready, ended, stop };
}

/** The demo's MeshConfig becomes the mesh's own, in its state directory, for readers to change. */
function takeMeshConfig() {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  copyFileSync(join(root, 'examples/mesh.yaml'), join(stateDir, 'mesh.yaml'));
}

/** What the supervisor said last, without its log lines. */
function explain(errors) {
  const lines = errors.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  if (lines.length === 0) return `the mesh ended; its logs are in ${stateDir}`;
  const text = lines.join('\n').replace(/^error: /gm, '');
  if (!text.includes('--ingress-port')) return text;
  // A mesh that runs already has the state directory; otherwise only the port is taken.
  const elsewhere = text.includes('--state-dir') ? `--state-dir ${nextTo(stateDir)} ` : '';
  return `${text}\n  for example: npm run demo -- ${elsewhere}--ingress-port 0`;
}

/** A state directory beside one that is taken, as it would be typed here. */
function nextTo(taken) {
  return relative(process.cwd(), `${taken}-2`);
}

/** Runs lateenctl on this mesh. */
function lateenctl(...args) {
  const child = spawn(process.execPath, [LATEENCTL, ...args, '--state-dir', stateDir], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`lateenctl ${args.join(' ')} failed:\n${output}`));
    });
  });
}

/** The handbook's documents, unmodified, each in the namespace that the handbook means. */
async function applyHandbook() {
  const handbook = (name) => `examples/handbook/${name}.yaml`;
  await lateenctl(
    'apply',
    ...['-f', handbook('destination-rule-reviews')],
    ...['-f', handbook('virtual-service-reviews')],
    ...['-f', handbook('gateway-bookinfo')],
    ...['-f', handbook('peer-authentication-default')],
    ...['-f', 'examples/bookinfo/gateway-routes.yaml'],
  );
  // A Sidecar scope in Bookinfo's own namespace would hide its services from each other.
  await lateenctl('apply', '-n', SIDECAR_NAMESPACE, '-f', handbook('sidecar-default'));
  await lateenctl('apply', '-n', 'istio-system', '-f', handbook('telemetry-mesh-default'));
}

/** Waits until the page is whole. */
async function pageShows(url) {
  const deadline = Date.now() + PAGE_LIMIT_MS;
  for (;;) {
    const answer = await fetch(url).catch((error) => error);
    const text = answer instanceof Error ? String(answer.cause ?? answer) : await answer.text();
    if (answer.status === 200 && text.includes('Reviews served by') && text.includes('ISBN-10')) return;
    if (Date.now() > deadline) throw new Error(`${url} does not show Bookinfo: ${text.slice(0, 300)}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

async function check(address) {
  const { ALL_CHECKS, MeshUnderTest, runDemoChecks } = await import('../test/dist/e2e/demo-check/main.js');
  const lines = flags.only?.split(',').map(Number);
  const checks = ALL_CHECKS.filter(({ line }) => lines === undefined || lines.includes(line));
  const failed = await runDemoChecks(new MeshUnderTest(root, stateDir, address), checks);
  return failed === 0 ? 0 : 1;
}

function printWhatToTry(address) {
  const fromHere = relative(process.cwd(), stateDir) || '.';
  const here = fromHere === '.lateen' ? '' : ` --state-dir ${fromHere}`;
  console.log(`
Bookinfo is at ${address}/productpage

  Sign in as jason (any password) and the reviews get black stars: header end-user -> reviews v2.

Try, in another terminal:
  curl -s ${address}/productpage | grep -o 'reviews-v[0-9][^<]*'
  curl -s -H 'end-user: jason' ${address}/api/v1/products/0/reviews

  bin/lateenctl local status${here}
  bin/lateenctl get virtualservice${here}
  bin/lateenctl describe pod productpage-v1${here}
  bin/lateenctl proxy-status${here}
  bin/lateenctl proxy-config routes productpage-v1 -n default${here}
  bin/lateenctl proxy-config secret productpage-v1 -n default${here}
  bin/lateenctl authn tls-check productpage-v1 default${here}
  bin/lateenctl apply -f examples/bookinfo/reviews-v3.yaml${here}     # half of the readers see red stars
  bin/lateenctl local stop pilot --signal KILL${here}                 # the page goes on; start it again
  bin/lateenctl local logs productpage-v1/sidecar --tail 5${here}     # access log

State and logs are in ${fromHere}. What you apply stays there for the next time, except that every start of the demo
applies Bookinfo, examples/handbook, examples/bookinfo/gateway-routes.yaml and examples/mesh.yaml again.
Ctrl-C ends everything.`);
}
