// Sources: what people apply and what the watched directory holds, and that neither takes the other's.
import { mkdir, mkdtemp, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigStore } from '../store/config-store.js';
import { testRules } from '../test-rules.js';
import { applyDocuments, deleteDocuments } from './apply-documents.js';
import { ConfigDirectory, type FileStatus } from './config-directory.js';
import { MeshConfigFile } from './mesh-config-file.js';

let directory: string;
let stateDir: string;
let store: ConfigStore;
beforeEach(async () => {
  const root = await mkdtemp(join(tmpdir(), 'lateen-sources-'));
  directory = join(root, 'config');
  stateDir = join(root, 'state');
  await mkdir(directory);
  store = await ConfigStore.open({ stateDir, onFatal: () => undefined });
});
afterEach(() => rm(join(directory, '..'), { recursive: true }));

const document = (kind: string, name: string, spec: object) =>
  `${JSON.stringify({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name }, spec })}\n---\n`;
const vs = (name: string, spec: object = {}) => document('VirtualService', name, spec);
const dr = (name: string, spec: object = {}) => document('DestinationRule', name, spec);
const names = () =>
  [...store.state.resources.values()].map(({ name, spec }) => `${name} ${JSON.stringify(spec)}`).sort();

const apply = (content: string, dryRun = false) =>
  applyDocuments(store, testRules, { files: [{ name: 'f.yaml', content }], defaultNamespace: 'default', dryRun });
const codes = (outcome: { problems: readonly { code: string }[] }) => outcome.problems.map(({ code }) => code);

describe('applyDocuments', () => {
  it('says what became of each', async () => {
    expect((await apply(vs('a') + vs('b'))).outcomes.map(({ action }) => action)).toEqual(['created', 'created']);
    expect((await apply(vs('a') + vs('b', { x: 1 }))).outcomes.map(({ action }) => action)).toEqual([
      'unchanged',
      'configured',
    ]);
  });

  it('stores all or nothing', async () => {
    await apply(vs('a', { x: 1 }));
    const before = store.state;
    const outcome = await apply(vs('a', { x: 2 }) + vs('b', { invalid: 1 }) + vs('c'));
    expect(codes(outcome)).toEqual(['unknown-field']);
    expect(outcome.outcomes).toEqual([]);
    expect(store.state).toBe(before);
    expect(codes(await apply('{'))).toEqual(['syntax']);
    expect(codes(await apply(vs('d') + vs('d')))).toEqual(['duplicate']);
    expect(store.state).toBe(before);
  });

  it('checks against what is stored', async () => {
    expect(codes(await apply(vs('a', { needs: 'r' })))).toEqual(['dangling']);
    expect(codes(await apply(vs('a', { needs: 'r' }) + dr('r')))).toEqual([]);
    expect(codes(await apply(vs('b', { needs: 'r' })))).toEqual([]);
  });

  it('changes nothing on a dry run', async () => {
    const outcome = await apply(vs('a'), true);
    expect(outcome.outcomes.map(({ action }) => action)).toEqual(['created']);
    expect(names()).toEqual([]);
  });
});

describe('deleteDocuments', () => {
  const remove = (content: string, resources: { kind: string; namespace: string; name: string }[] = []) =>
    deleteDocuments(store, testRules, {
      files: [{ name: 'f.yaml', content }],
      resources,
      defaultNamespace: 'default',
    });

  it('takes documents, also such that would no longer be valid, and names', async () => {
    await apply(vs('a') + vs('b') + vs('c'));
    const outcome = await remove(vs('a', { invalid: 1 }) + vs('x'), [{ kind: 'vs', namespace: '', name: 'b' }]);
    expect(outcome.outcomes.map(({ name, action }) => `${name} ${action}`)).toEqual([
      'b deleted',
      'a deleted',
      'x not found',
    ]);
    expect(names()).toEqual(['c {}']);
  });

  it('deletes nothing where a name makes no sense', async () => {
    await apply(vs('a'));
    const outcome = await remove(vs('a'), [{ kind: 'Nonsense', namespace: '', name: 'b' }]);
    expect(codes(outcome)).toEqual(['unknown-kind']);
    expect(names()).toEqual(['a {}']);
  });

  it('warns of what refers to it, and does it', async () => {
    await apply(vs('a', { needs: 'r' }) + dr('r'));
    const outcome = await remove(dr('r'));
    expect(outcome.problems).toMatchObject([{ code: 'dangling', severity: 'warning', name: 'a' }]);
    // What was broken knowingly does not stand in the way of something else.
    expect(codes(await apply(vs('b')))).toEqual([]);
    expect(names()).toEqual(['a {"needs":"r"}', 'b {}']);
  });
});

describe('ConfigDirectory', () => {
  let told: FileStatus[];
  let source: ConfigDirectory;
  const newSource = () =>
    new ConfigDirectory({
      directory,
      store,
      rules: testRules,
      defaultNamespace: 'default',
      onStatus: (status) => told.push(status),
    });
  beforeEach(() => {
    told = [];
    source = newSource();
  });
  const write = (file: string, content: string) => writeFile(join(directory, file), content);
  const standing = () =>
    source.statuses.map(({ file, accepted, problems }) => [file, accepted, ...codes({ problems })]);

  it('follows files: new, changed, removed', async () => {
    await write('a.yaml', vs('a'));
    await mkdir(join(directory, 'sub'));
    await write('sub/b.yml', vs('b'));
    await write('note.txt', 'not yaml: [');
    await source.refresh();
    expect(names()).toEqual(['a {}', 'b {}']);
    told = [];
    await source.refresh();
    expect(told).toEqual([]);
    await write('a.yaml', vs('a', { x: 1 }) + vs('a2'));
    await unlink(join(directory, 'sub/b.yml'));
    await source.refresh();
    expect(names()).toEqual(['a {"x":1}', 'a2 {}']);
    expect(told).toEqual([
      { file: 'a.yaml', accepted: true, problems: [], kinds: ['VirtualService', 'VirtualService'] },
    ]);
    expect(store.state.resources.get('VirtualService/default/a' as never)?.source.file).toBe('a.yaml');
  });

  it('keeps the last good version of a file that is not valid, also over a restart', async () => {
    await write('a.yaml', vs('a', { x: 1 }));
    await write('b.yaml', vs('b'));
    await source.refresh();
    const version = store.state.version;
    await write('a.yaml', vs('a', { x: 2 }) + vs('new', { invalid: 1 }));
    await source.refresh();
    expect(names()).toEqual(['a {"x":1}', 'b {}']);
    expect(standing()).toEqual([
      ['a.yaml', false, 'unknown-field'],
      ['b.yaml', true],
    ]);
    store = await ConfigStore.open({ stateDir, onFatal: () => undefined });
    source = newSource();
    await source.refresh();
    expect(names()).toEqual(['a {"x":1}', 'b {}']);
    expect(store.state.version).toBe(version);
    await write('a.yaml', vs('a', { x: 3 }));
    await source.refresh();
    expect(names()).toEqual(['a {"x":3}', 'b {}']);
    expect(told.map(({ file, accepted }) => `${file} ${accepted}`)).toEqual([
      'a.yaml true',
      'b.yaml true',
      'a.yaml false',
      'a.yaml false',
      'b.yaml true',
      'a.yaml true',
    ]);
  });

  it('tries files together that refer to each other', async () => {
    await write('a.yaml', vs('a', { needs: 'r' }));
    await write('b.yaml', vs('b'));
    await source.refresh();
    expect(names()).toEqual(['b {}']);
    expect(standing()).toContainEqual(['a.yaml', false, 'dangling']);
    await write('z.yaml', dr('r'));
    await source.refresh();
    expect(names()).toEqual(['a {"needs":"r"}', 'b {}', 'r {}']);
  });

  it('does not let a change break what did not change', async () => {
    await write('a.yaml', vs('a', { needs: 'r' }));
    await write('r.yaml', dr('r'));
    await source.refresh();
    await write('r.yaml', dr('other'));
    await write('c.yaml', vs('c', { invalid: 1 }));
    await source.refresh();
    expect(names()).toEqual(['a {"needs":"r"}', 'r {}']);
    expect(standing()).toEqual([
      ['a.yaml', true],
      ['c.yaml', false, 'unknown-field'],
      ['r.yaml', false, 'dangling'],
    ]);
    // Removing the file is another matter: that is the user's decision.
    await unlink(join(directory, 'r.yaml'));
    await source.refresh();
    expect(names()).toEqual(['a {"needs":"r"}']);
  });

  it('lets a resource move from one file to another, and keeps its age', async () => {
    await write('a.yaml', vs('a'));
    await source.refresh();
    const { creationTime } = [...store.state.resources.values()][0]!;
    await rename(join(directory, 'a.yaml'), join(directory, 'b.yaml'));
    await source.refresh();
    expect([...store.state.resources.values()]).toMatchObject([{ creationTime, source: { file: 'b.yaml' } }]);
    await write('b.yaml', '{');
    await source.refresh();
    expect(names()).toEqual(['a {}']);
  });

  it('refuses a resource that another file has, and names both', async () => {
    await write('m.yaml', vs('a', { x: 1 }));
    await source.refresh();
    await write('b.yaml', vs('a', { x: 2 }));
    await source.refresh();
    expect(names()).toEqual(['a {"x":1}']);
    const { problems } = source.statuses.find(({ file }) => file === 'b.yaml')!;
    expect(problems[0]?.message).toContain('m.yaml');
    expect(problems[0]?.message).toContain('b.yaml');
  });

  it('refuses a resource that was applied, and the other way round', async () => {
    await apply(vs('a', { x: 1 }));
    await write('d.yaml', vs('a', { x: 2 }) + vs('e'));
    await source.refresh();
    expect(names()).toEqual(['a {"x":1}']);
    expect(source.statuses[0]?.problems[0]?.message).toMatch(/lateenctl apply.*f\.yaml.*d\.yaml/);
    await write('d.yaml', vs('e'));
    await source.refresh();
    const outcome = await apply(vs('e', { x: 3 }));
    expect(outcome.problems[0]?.message).toMatch(/d\.yaml.*f\.yaml/);
    const deletion = await deleteDocuments(store, testRules, {
      files: [{ name: 'f.yaml', content: vs('e') }],
      resources: [],
      defaultNamespace: 'default',
    });
    expect(codes(deletion)).toEqual(['other-owner']);
    expect(names()).toEqual(['a {"x":1}', 'e {}']);
  });

  it('leaves everything as it is while the directory is away', async () => {
    await write('a.yaml', vs('a'));
    await source.refresh();
    await rename(directory, `${directory}-away`);
    await source.refresh();
    expect(source.problem).toMatch(/cannot be read/);
    expect(names()).toEqual(['a {}']);
  });
});

describe('MeshConfigFile', () => {
  it('serves the last good one, and the defaults without a file', async () => {
    const file = join(directory, 'mesh.yaml');
    const told: FileStatus[] = [];
    const meshConfig = new MeshConfigFile({ file, store, rules: testRules, onStatus: (status) => told.push(status) });
    await meshConfig.refresh();
    expect(told.at(-1)).toMatchObject({ accepted: false, problems: [{ code: 'unreadable' }] });
    expect(names()).toEqual(['istio {}']);
    await writeFile(file, '{"accessLogFile": "/dev/stdout"}');
    await meshConfig.refresh();
    expect(names()).toEqual(['istio {"accessLogFile":"/dev/stdout"}']);
    await writeFile(file, '{"invalid": 1}');
    await meshConfig.refresh();
    expect(names()).toEqual(['istio {"accessLogFile":"/dev/stdout"}']);
    expect(told.at(-1)).toMatchObject({ accepted: false, problems: [{ code: 'unknown-field' }] });
    await new MeshConfigFile({ file: undefined, store, rules: testRules, onStatus: () => undefined }).refresh();
    expect(names()).toEqual(['istio {}']);
  });
});
