// Task pages: every page of docs/tasks is read, applied to Bookinfo in local mode, and does what it says.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';
import { BookinfoDemo } from './bookinfo-demo.js';
import { runPage } from './run-page.js';
import { parseTaskPage } from './task-page.js';

const FOLDER = join(REPOSITORY, 'docs/tasks');
const INDEX = 'README.md';
const TIME_LIMIT_MS = 120_000;

const read = (name: string) => readFileSync(join(FOLDER, name), 'utf8');
const names = readdirSync(FOLDER).filter((name) => name !== INDEX);

describe('the index of the task pages', () => {
  const links = [...read(INDEX).matchAll(/\]\(([a-z0-9-]+\.md)\)/g)].map((match) => match[1]);

  it('names every page, and no other', () => {
    expect([...new Set(links)].sort()).toEqual([...names].sort());
  });

  it.each(names)('%s links to what is there', (name) => {
    const targets = [...read(name).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
    expect(targets.filter((target) => !existsSync(join(FOLDER, target)))).toEqual([]);
  });
});

describe('task pages', { timeout: TIME_LIMIT_MS }, () => {
  let demo: BookinfoDemo;
  let before: ReadonlyMap<string, string>;

  beforeAll(async () => {
    demo = await BookinfoDemo.start();
    before = demo.applied();
  }, TIME_LIMIT_MS);
  afterAll(() => demo?.stop(), TIME_LIMIT_MS);
  afterEach(async () => {
    // A page that failed is no reason for the others to fail.
    if (changesSince(before, demo).length > 0) await demo.restore(before);
  }, TIME_LIMIT_MS);

  it.each(names)('%s does what it says, and leaves nothing behind', async (name) => {
    await runPage(parseTaskPage(read(name)), demo);
    expect(changesSince(before, demo), `${name} does not undo what it applies`).toEqual([]);
  });
});

/** The documents that are there and were not, that are no longer there, or are others. */
function changesSince(before: ReadonlyMap<string, string>, demo: BookinfoDemo): string[] {
  const now = demo.applied();
  return [...new Set([...before.keys(), ...now.keys()])].filter((place) => before.get(place) !== now.get(place));
}
