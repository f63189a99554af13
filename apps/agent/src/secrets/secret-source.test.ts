// Secrets of files: named by a stream, read, followed, replaced in place, and forgotten with the last stream.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkloadIdentity } from '@lateen/identity';
import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { TYPE_URL } from '@lateen/xds-proto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SecretSource } from './secret-source.js';

const patience = { timeout: 10_000, interval: 20 };
const NOBODY = { current: undefined as WorkloadIdentity | undefined, subscribe: () => () => undefined };

let directory: string;
let certificates: WebCertificate[];
let rootsPem: string;
let source: SecretSource;
let warnings: string[];
let failures: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-agent-files-'));
  const authority = await TestWebAuthority.create('servers');
  certificates = [await authority.issue({ dnsNames: ['a'] }), await authority.issue({ dnsNames: ['b'] })];
  rootsPem = authority.rootsPem;
  warnings = [];
  failures = 0;
  source = new SecretSource({
    identity: NOBODY,
    logger: { info: () => undefined, warn: (fields, message) => warnings.push(`${message} ${JSON.stringify(fields)}`) },
    onFailure: () => failures++,
  });
});

afterEach(() => {
  source.close();
  rmSync(directory, { recursive: true, force: true });
});

const path = (name: string) => join(directory, name);

/** Replaced by a rename, as whoever renews certificates should. */
function put(name: string, text: string): void {
  writeFileSync(path('.new'), text);
  renameSync(path('.new'), path(name));
}

/** A stream that asks for these names. */
function open(...names: string[]) {
  const onChange = vi.fn();
  const view = source.open(undefined, onChange);
  view.onSubscribed?.(TYPE_URL.secret, new Set(names));
  const secrets = () => view.current()?.resources.get(TYPE_URL.secret);
  const text = (name: string) => Buffer.from(secrets()?.get(name)?.any.value ?? []).toString();
  return { view, onChange, secrets, text };
}

test('a pair that is not there yet, that comes, is replaced, and does not fit in between', async () => {
  const [first, second] = certificates as [WebCertificate, WebCertificate];
  const name = `file-cert:${path('tls.crt')}~${path('tls.key')}`;
  const { secrets, text } = open(name);
  expect(secrets()?.size).toBe(0);
  expect(warnings).toEqual([expect.stringContaining('there is no such secret until they can')]);
  put('tls.crt', first.certPem);
  put('tls.key', first.keyPem);
  await vi.waitFor(() => expect(text(name)).toContain(first.keyPem), patience);
  const before = failures;
  put('tls.crt', second.certPem);
  await vi.waitFor(() => expect(failures).toBeGreaterThan(before), patience);
  expect(text(name)).toContain(first.certPem);
  put('tls.key', second.keyPem);
  await vi.waitFor(() => expect(text(name)).toContain(second.keyPem), patience);
  expect(text(name)).toContain(second.certPem);
  expect(warnings.join()).not.toContain('PRIVATE KEY');
});

test('roots of a file, and what is no certificate', async () => {
  writeFileSync(path('roots.pem'), rootsPem);
  writeFileSync(path('other.pem'), 'not a certificate');
  const names = [`file-root:${path('roots.pem')}`, `file-root:${path('other.pem')}`];
  const { secrets, text } = open(...names);
  expect([...(secrets()?.keys() ?? [])]).toEqual([names[0]]);
  expect(text(names[0]!)).toContain(rootsPem);
});

test('a stream is woken by changes of files; those that nobody asks for any more are not followed', async () => {
  writeFileSync(path('roots.pem'), rootsPem);
  const name = `file-root:${path('roots.pem')}`;
  const [stays, leaves] = [open(name), open(name)];
  leaves.view.close();
  const { rootsPem: others } = await TestWebAuthority.create('others');
  stays.onChange.mockClear();
  put('roots.pem', others);
  await vi.waitFor(() => expect(stays.onChange).toHaveBeenCalled(), patience);
  expect(stays.text(name)).toContain(others);
  stays.view.onSubscribed?.(TYPE_URL.secret, new Set(['other']));
  expect(stays.secrets()?.size).toBe(0);
  expect(open('file-root:nowhere').secrets()?.size).toBe(0);
});

test('whoever asks for the own certificate waits for it; who asks for files does not', () => {
  writeFileSync(path('roots.pem'), rootsPem);
  const files = `file-root:${path('roots.pem')}`;
  expect(open('default').view.current()).toBeUndefined();
  expect(open(files, 'ROOTCA').view.current()).toBeUndefined();
  expect(open(files).secrets()?.size).toBe(1);
});
