// The built program: V8 takes the compiled code that lies beside it, and it starts as well where V8 does not.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const REPORT = `
  process.on('exit', () => console.log('rejected: ' + require.cache[require.resolve(process.argv[1])].exports.cachedDataRejected));
  require(process.argv[1]);
`;

function start(dist: string): string {
  return execFileSync(process.execPath, ['-e', REPORT, join(dist, 'main.js'), '--version'], { encoding: 'utf8' });
}

it('starts with the code that was compiled when it was built', () => {
  expect(start(DIST)).toMatch(/^\d+\.\d+\.\d+\nrejected: false\n$/);
});

it('starts without it where it is of another V8', () => {
  const copy = mkdtempSync(join(tmpdir(), 'lateen-dist-'));
  onTestFinished(() => rmSync(copy, { recursive: true }));
  cpSync(DIST, copy, { recursive: true });
  // That of an earlier build may lie there as well.
  const [program] = /main-\w+\.cjs/.exec(readFileSync(join(copy, 'main.js'), 'utf8')) ?? ['none'];
  const cache = join(copy, `${program}.cache`);
  // V8 writes a magic number first, then a hash of its version.
  const bytes = readFileSync(cache);
  bytes.writeUInt32LE(~bytes.readUInt32LE(4) >>> 0, 4);
  writeFileSync(cache, bytes);
  expect(start(copy)).toMatch(/^\d+\.\d+\.\d+\nrejected: true\n$/);
});
