// For the durability test: makes one change in a process that kills itself before the given file operation.
//
// node crash-child.js STATE_DIR REVISION KILL_AT (0: never); prints "done" when the change is durable.

import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { ConfigStore } from './config-store.js';
import { type ResourceContent, resourceKey } from './stored-resource.js';

const [, , stateDir, revision, killAt] = process.argv as [string, string, string, string, string];
let operations = 0;

/** Counts an operation and dies before the chosen one. A write that is chosen is cut in half first. */
async function step(cutWrite?: () => Promise<void>): Promise<void> {
  operations++;
  if (operations !== Number(killAt)) return;
  await cutWrite?.();
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => undefined);
}

function wrap(target: Record<string, unknown>, name: string): void {
  const original = target[name] as (...args: unknown[]) => Promise<unknown>;
  target[name] = async function (this: unknown, ...args: unknown[]) {
    const half =
      name === 'writeFile' ? async () => void (await original.call(this, String(args[0]).slice(0, 20))) : undefined;
    await step(half);
    return original.apply(this, args);
  };
}

const store = await ConfigStore.open({ stateDir, onFatal: () => process.exit(2) });
const probe = await fs.open(stateDir, 'r');
const handlePrototype = Object.getPrototypeOf(probe) as Record<string, unknown>;
await probe.close();
for (const name of ['writeFile', 'sync', 'chmod']) wrap(handlePrototype, name);
for (const name of ['open', 'rename', 'unlink', 'rm', 'mkdir']) wrap(fs as unknown as Record<string, unknown>, name);
syncBuiltinESMExports();

const content = (name: string): ResourceContent => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  namespace: 'default',
  name,
  labels: {},
  annotations: {},
  spec: { revision: Number(revision) },
  source: { file: 'a.yaml', line: 1, column: 1 },
  origin: 'applied',
});

// Two resources change, one comes and one goes with each revision.
await store.transact(() => ({
  change: {
    put: [content('one'), content('two'), content(`only-${revision}`)],
    remove: [resourceKey('VirtualService', 'default', `only-${Number(revision) - 1}`)],
  },
  result: undefined,
}));
process.stdout.write(`done ${operations}\n`);
