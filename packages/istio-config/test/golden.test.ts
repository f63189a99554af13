// Golden folders: what is said about each document of `cases/KIND/CASE/in.yaml`. Update with `vitest run -u`, then read the diff.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { formatProblem, type Problem, parseDocuments, parseMeshConfig } from '../src/index.js';

const CASES = fileURLToPath(new URL('cases', import.meta.url));

/** One line for each problem, with its code, and what was accepted. */
function describeResult(problems: readonly Problem[], accepted: readonly string[]): string {
  const lines = problems.map((problem) => `${formatProblem(problem)}  [${problem.code}]`);
  return `${[...lines, `accepted: ${accepted.join(', ') || 'nothing'}`].join('\n')}\n`;
}

function run(kind: string, content: string): string {
  const file = { name: 'in.yaml', content };
  if (kind === 'MeshConfig') {
    const { config, problems } = parseMeshConfig(file);
    return describeResult(problems, config ? ['MeshConfig'] : []);
  }
  const { objects, problems } = parseDocuments([file], { defaultNamespace: 'default' });
  return describeResult(
    problems,
    objects.map(({ kind, metadata }) => [kind, metadata.namespace, metadata.name].filter(Boolean).join('/')),
  );
}

for (const kind of readdirSync(CASES)) {
  describe(kind, () => {
    for (const name of readdirSync(`${CASES}/${kind}`)) {
      const folder = `${CASES}/${kind}/${name}`;
      test(`${name}: ${readFileSync(`${folder}/why`, 'utf8').trim()}`, async () => {
        await expect(run(kind, readFileSync(`${folder}/in.yaml`, 'utf8'))).toMatchFileSnapshot(`${folder}/out.txt`);
      });
    }
  });
}
