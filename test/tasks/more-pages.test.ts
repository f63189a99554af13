// Task pages: the other half, with a demo of its own; and the index, which names all.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkPages, FOLDER, halfOfPages, INDEX, pageNames, readPage } from './check-pages.js';

describe('the index of the task pages', () => {
  const links = [...readPage(INDEX).matchAll(/\]\(([a-z0-9-]+\.md)\)/g)].map((match) => match[1]);

  it('names every page, and no other', () => {
    expect([...new Set(links)].sort()).toEqual(pageNames().sort());
  });

  it.each(pageNames())('%s links to what is there', (name) => {
    const targets = [...readPage(name).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
    expect(targets.filter((target) => !existsSync(join(FOLDER, target)))).toEqual([]);
  });

  it('has each page in one half', () => {
    expect([...halfOfPages(0), ...halfOfPages(1)].sort()).toEqual(pageNames().sort());
  });
});

checkPages(halfOfPages(1));
