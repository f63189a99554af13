// Fuzzing, configuration: documents changed by field go through parsing, validation and translation, as in Galley and Pilot.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatProblem, locateField, type Problem, parseDocuments, validateObjects } from '@lateen/istio-config';
import { buildSnapshot, type Credential, resolveProxyView, TranslationCache } from '@lateen/translate';
import { REPOSITORY } from '../../harness/repository.js';
import { Authority } from '../../security/mesh-certificates.js';
import { type FuzzTarget, failed, type Outcome, passed } from '../loop/fuzz-target.js';
import type { Random } from '../loop/random.js';
import { mutateYaml } from '../mutate/mutate-yaml.js';
import { danglingReference } from './dangling-references.js';
import { FUZZ_MESH, FUZZ_PROXIES } from './fuzz-mesh.js';

/** Folders whose YAML is what users write, or what tests pin. */
const SEED_FOLDERS = [
  'examples',
  'packages/istio-config/test',
  'packages/translate/test/cases',
  'test/conformance/cases',
];
/** Whose blocks are what users write. */
const PAGE_FOLDER = 'docs';
/** Documents of other kinds are not Galley's, and a text with one of them is never accepted. */
const ISTIO_DOCUMENT = /^apiVersion: *"?(?:[a-z]+\.istio\.io|lateen\.io)\//m;
const MAX_SEED_BYTES = 16 * 1024;
const MAX_RUN_MS = 3_000;

export class IstioYamlTarget implements FuzzTarget {
  readonly name = 'istio-yaml';
  readonly oracle =
    'parsing and validation never throw and place every problem; what they accept gives a consistent snapshot';

  #credentials: readonly Credential[] = [];

  async start(): Promise<void> {
    this.#credentials = await gatewayCredentials();
  }
  async stop(): Promise<void> {}

  seeds = () => istioSeeds();
  mutate = (random: Random, input: Buffer, other: Buffer) => mutateYaml(random, input, other);

  run(input: Buffer): Outcome {
    const began = performance.now();
    const content = input.toString('utf8');
    const lines = content.split('\n').length;
    const { objects, problems } = parseDocuments([{ name: 'fuzz.yaml', content }], {
      defaultNamespace: 'default',
      kubernetes: false,
    });
    const found = [...problems, ...validateObjects(objects)];
    for (const problem of found) {
      const fault = faultOf(problem, lines);
      if (fault !== undefined) return failed(`${fault}: ${formatProblem(problem)}`);
    }
    for (const object of objects) locateField(object, ['spec']);
    const accepted = found.every(({ severity }) => severity !== 'error');
    if (accepted && objects.length > 0) {
      const snapshot = buildSnapshot({ ...FUZZ_MESH, credentials: this.#credentials, configs: objects });
      const cache = new TranslationCache();
      for (const proxy of FUZZ_PROXIES) {
        const { resources, faults } = cache.translate(resolveProxyView(snapshot, proxy));
        if (faults.length > 0) return failed(`accepted, but ${faults[0]?.code} for ${proxy.id}: ${faults[0]?.message}`);
        const dangling = danglingReference(resources);
        if (dangling !== undefined) return failed(`accepted, but for ${proxy.id} ${dangling}`);
      }
    }
    const tookMs = performance.now() - began;
    if (tookMs > MAX_RUN_MS) return failed(`took ${Math.round(tookMs / 1000)} s for ${input.length} bytes`);
    return passed(`${accepted} ${objects.length > 0} ${signatureOf(found)}`);
  }
}

/** What users write, and what tests pin, in texts of Galley's kinds alone. */
export function istioSeeds(): Buffer[] {
  return [
    ...SEED_FOLDERS.flatMap((folder) => yamlBelow(join(REPOSITORY, folder))),
    ...blocksBelow(join(REPOSITORY, PAGE_FOLDER)),
  ];
}

/** What is wrong with a problem itself. */
function faultOf({ line, column, message }: Problem, lines: number): string | undefined {
  if (!(line >= 1 && line <= lines && column >= 1)) return 'a problem is placed outside of the file';
  if (message.trim() === '') return 'a problem says nothing';
  if (message.includes('[object Object]')) return 'a problem prints an object';
  return undefined;
}

/** Codes and paths, without positions in lists. */
function signatureOf(problems: readonly Problem[]): string {
  const kinds = new Set(problems.map(({ code, path }) => `${code} ${path.replace(/\d+/g, '#').slice(0, 80)}`));
  return [...kinds].sort().slice(0, 6).join('; ');
}

/** Secrets of the names that cases and pages use, all with one certificate. */
async function gatewayCredentials(): Promise<Credential[]> {
  const authority = await Authority.create();
  const { cert, key } = await authority.issue({ dnsNames: ['*.example.com'] });
  const values = { 'tls.crt': cert, 'tls.key': key, 'ca.crt': authority.rootPem };
  return ['shop', 'partner', 'a', 'cert', 'client', 'ca'].map((name) => ({ namespace: 'istio-system', name, values }));
}

function yamlBelow(directory: string): Buffer[] {
  return textsBelow(directory, /\.ya?ml$/).flatMap(istioDocuments);
}

/** The YAML blocks of pages. */
function blocksBelow(directory: string): Buffer[] {
  const pages = textsBelow(directory, /\.md$/);
  return pages.flatMap((text) =>
    [...text.matchAll(/^```yaml.*\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) => istioDocuments(block)),
  );
}

function textsBelow(directory: string, name: RegExp): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => name.test(path) && !path.includes('node_modules'))
    .sort()
    .map((path) => readFileSync(join(directory, path), 'utf8'));
}

/** A text without documents of kinds that are not Galley's; nothing where none is left, or too much. */
function istioDocuments(text: string): Buffer[] {
  const documents = text.split(/^---\n/m);
  const kept = documents.length === 1 ? documents : documents.filter((document) => ISTIO_DOCUMENT.test(document));
  const seed = Buffer.from(kept.join('---\n'));
  return kept.length > 0 && seed.length <= MAX_SEED_BYTES ? [seed] : [];
}
