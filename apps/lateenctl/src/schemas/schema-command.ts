// Schemas: `lateenctl schema`: JSON Schemas for editors, of one kind or of all.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { combinedSchema, ISTIO_KINDS, type JsonSchema, jsonSchema, KUBERNETES_KINDS } from '@lateen/istio-config';
import type { Command } from 'commander';
import { requireKind } from '../commands/kind-argument.js';
import { UsageError } from '../output/cli-error.js';
import { print } from '../output/print.js';

const KINDS = [...ISTIO_KINDS, ...KUBERNETES_KINDS];
const MESH_CONFIG = 'MeshConfig';
/** The schema of files with several kinds. */
const COMBINED = 'all.json';

interface SchemaOptions {
  readonly all: boolean;
  readonly out?: string;
}

export function addSchemaCommand(program: Command): void {
  program
    .command('schema')
    .summary('JSON Schemas of the kinds, for editors')
    .description(
      'Prints the JSON Schema (draft 2020-12) of a kind, or writes those of all kinds into a directory. Editors complete, explain\n' +
        'and check documents with them; docs/editor-schemas.md says how.',
    )
    .argument('[kind]', 'a kind, or MeshConfig')
    .option('--all', 'every kind, and all.json for files with several', false)
    .option('-o, --out <path>', 'file to write to; with --all the directory')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl schema VirtualService
  lateenctl schema vs --out virtual-service.json
  lateenctl schema --all --out .schemas`,
    )
    .action((kind: string | undefined, { all, out }: SchemaOptions) => {
      if (all) {
        if (kind !== undefined) throw new UsageError('give a kind or --all, not both');
        if (out === undefined) throw new UsageError('say where the schemas go: --all --out DIRECTORY');
        return writeAll(out);
      }
      if (kind === undefined) throw new UsageError('say which kind, such as VirtualService, or --all --out DIRECTORY');
      const isMesh = kind.toLowerCase() === MESH_CONFIG.toLowerCase();
      const schema = jsonSchema(isMesh ? MESH_CONFIG : requireKind(kind, [MESH_CONFIG]).kind);
      if (out === undefined) print(schemaText(schema).trimEnd());
      else writeSchema(out, schema);
    });
}

function writeAll(directory: string): void {
  for (const kind of [...KINDS, MESH_CONFIG] as const) writeSchema(join(directory, `${kind}.json`), jsonSchema(kind));
  writeSchema(
    join(directory, COMBINED),
    combinedSchema(KINDS, (kind) => `${kind}.json`),
  );
  print(`${KINDS.length + 2} schemas written to ${directory}`);
}

function writeSchema(path: string, schema: JsonSchema): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, schemaText(schema));
}

function schemaText(schema: JsonSchema): string {
  return `${JSON.stringify(schema, null, 2)}\n`;
}
