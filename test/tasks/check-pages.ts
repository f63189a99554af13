// Task pages: what is asked of each: it does what it says, and leaves the demo as it was. One demo for all that are given.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';
import { BookinfoDemo } from './bookinfo-demo.js';
import { runPage } from './run-page.js';
import { parseTaskPage } from './task-page.js';

export const FOLDER = join(REPOSITORY, 'docs/tasks');
export const INDEX = 'README.md';
const TIME_LIMIT_MS = 120_000;

export const readPage = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');

/** Every page but the index. */
export function pageNames(): string[] {
  return readdirSync(FOLDER).filter((name) => name !== INDEX);
}

/** One of two halves of the pages that have about as many commands: they are run side by side, each with a demo of its own. */
export function halfOfPages(half: 0 | 1): string[] {
  const halves: [string[], string[]] = [[], []];
  const commands: [number, number] = [0, 0];
  const counted = pageNames()
    .map((name) => ({ name, count: parseTaskPage(readPage(name)).steps.length }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
  for (const { name, count } of counted) {
    const lighter = commands[0] <= commands[1] ? 0 : 1;
    halves[lighter].push(name);
    commands[lighter] += count;
  }
  return halves[half];
}

export function checkPages(names: readonly string[]): void {
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
      await runPage(parseTaskPage(readPage(name)), demo);
      expect(changesSince(before, demo), `${name} does not undo what it applies`).toEqual([]);
    });
  });
}

/** The documents that are there and were not, that are no longer there, or are others. */
function changesSince(before: ReadonlyMap<string, string>, demo: BookinfoDemo): string[] {
  const now = demo.applied();
  return [...new Set([...before.keys(), ...now.keys()])].filter((place) => before.get(place) !== now.get(place));
}
