// Tests of the address book: stable, never shared, remembered.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lastBlock, openAddressBook } from './address-book.js';

describe('address book', () => {
  let directory: string;
  let file: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'lateen-addresses-'));
    file = join(directory, 'addresses.json');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('gives the same address again, also after a restart and in another block', async () => {
    const book = openAddressBook(file, 30);
    const first = book.addressOf('pod/default/a');
    const second = book.addressOf('pod/default/b');
    expect(book.addressOf('pod/default/a')).toBe(first);
    expect(second).not.toBe(first);
    await book.save();

    expect(lastBlock(file)).toBe(30);
    expect(openAddressBook(file, 30).addressOf('pod/default/b')).toBe(second);
    expect(openAddressBook(file, 31).addressOf('pod/default/b')).toBe(second.replace('127.30.', '127.31.'));
  });

  it('does not reuse a freed address at once', () => {
    const book = openAddressBook(file, 30);
    const freed = book.addressOf('pod/default/a');
    book.prune(() => false);
    expect(book.addressOf('pod/default/b')).not.toBe(freed);
  });

  it('never hands out one address twice, nor network and broadcast addresses', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 600 }), (owners) => {
        const book = openAddressBook(join(directory, 'absent.json'), 30);
        const addresses = new Map(owners.map((owner) => [owner, book.addressOf(owner)]));
        expect(new Set(addresses.values()).size).toBe(addresses.size);
        for (const address of addresses.values()) expect(address).not.toMatch(/\.(0|255)$/);
      }),
      { numRuns: 20 },
    );
  });

  it('says which file is damaged', () => {
    writeFileSync(file, '{');
    expect(() => openAddressBook(file, 30)).toThrow(`${file} is damaged`);
  });
});
