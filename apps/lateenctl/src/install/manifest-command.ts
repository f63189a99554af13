// Installation: `lateenctl manifest generate|diff|values`.

import { buildManifests, COMPONENTS, type ComponentName } from '@lateen/installation';
import type { Command } from 'commander';
import { collect } from '../commands/context.js';
import { EXIT, ReportedError, UsageError } from '../output/cli-error.js';
import { print } from '../output/print.js';
import { differences, manifestsText, manifestText, readManifests, writeComponents } from './manifest-files.js';
import { addValuesOptions, type ValuesOptions, valuesOf } from './values-options.js';

interface GenerateOptions extends ValuesOptions {
  readonly component: readonly string[];
  readonly output?: string;
}

export function addManifestCommand(program: Command): void {
  const manifest = program.command('manifest').description('what an installation in a cluster consists of, as YAML');
  addValuesOptions(manifest.command('generate'))
    .summary('print every object that `install` would apply')
    .option('--component <name>', `only this one of ${COMPONENTS.join(', ')}; several times for several`, collect, [])
    .option('-o, --output <dir>', 'write a file for each component into this directory')
    .addHelpText(
      'after',
      `
Needs no cluster. The same objects by kustomize: kubectl apply -k deploy/profiles/PROFILE

Examples:
  lateenctl manifest generate --set profile=demo | kubectl apply -f -
  lateenctl manifest generate --component crds
  lateenctl manifest generate -f values.yaml -o manifests`,
    )
    .action((options: GenerateOptions) => {
      const components = buildManifests(valuesOf(options)).filter(
        ({ name }) => options.component.length === 0 || requireComponents(options.component).includes(name),
      );
      if (options.output === undefined) return print(manifestsText(components.flatMap(({ objects }) => objects)));
      for (const file of writeComponents(options.output, components)) print(file);
    });
  manifest
    .command('diff')
    .summary('compare two files of manifests, object by object')
    .argument('<from>')
    .argument('<to>')
    .addHelpText(
      'after',
      `
Exit codes: 0 they are the same, 1 they differ.

Examples:
  lateenctl manifest generate > new.yaml && lateenctl manifest diff old.yaml new.yaml`,
    )
    .action((from: string, to: string) => {
      const found = differences(readManifests(from), readManifests(to));
      for (const { name, change, text } of found) print(`# ${change}: ${name}\n${text}`);
      if (found.length > 0) throw new ReportedError(EXIT.failed);
      print('no difference');
    });
  addValuesOptions(manifest.command('values'))
    .summary('print every value, with what the profile says where nothing else does')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl manifest values --set profile=minimal`,
    )
    .action((options: ValuesOptions) => print(manifestText(valuesOf(options))));
}

function requireComponents(names: readonly string[]): readonly ComponentName[] {
  return names.map((name) => {
    const found = COMPONENTS.find((each) => each === name);
    if (found === undefined)
      throw new UsageError(`--component ${name}: there is none; one of ${COMPONENTS.join(', ')}`);
    return found;
  });
}
