// Injection: what injection goes by, read from files; what no file says is the default.

import { readFileSync } from 'node:fs';
import { InjectionError, type InjectionSource, loadInjectionConfig, type MeshSettings } from '@lateen/injection';
import { parseMeshConfig } from '@lateen/istio-config';
import { parse } from 'yaml';
import { CliError, ReportedError, UsageError } from '../output/cli-error.js';
import { printProblems } from '../output/print.js';
import { VERSION } from '../version.js';

export interface InjectionFileOptions {
  readonly injectConfigFile?: string;
  readonly valuesFile?: string;
  readonly meshConfigFile?: string;
  readonly revision: string;
}

/** @throws CliError where a file cannot be read or used */
export function readInjectionFiles(options: InjectionFileOptions): InjectionSource {
  const fromMap = readConfigFile(options.injectConfigFile);
  const values = options.valuesFile === undefined ? fromMap.values : readText('--valuesFile', options.valuesFile);
  try {
    return {
      config: loadInjectionConfig({ ...fromMap, values }),
      mesh: readMesh(options.meshConfigFile),
      revision: options.revision,
      version: VERSION,
      knowsNativeSidecars: true,
    };
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error;
    throw new CliError(`the configuration of injection is wrong:\n${error.problems.join('\n')}`);
  }
}

/** A ConfigMap as a whole is taken for what it holds. */
function readConfigFile(file: string | undefined): { config?: string; values?: string } {
  if (file === undefined) return {};
  const text = readText('--injectConfigFile', file);
  let value: unknown;
  try {
    value = parse(text);
  } catch {
    return { config: text };
  }
  const { kind, data } = (value ?? {}) as { kind?: string; data?: { config?: string; values?: string } };
  return kind === 'ConfigMap' ? { config: data?.config, values: data?.values } : { config: text };
}

function readMesh(file: string | undefined): MeshSettings {
  const rootNamespace = 'istio-system';
  if (file === undefined) return { meshConfig: {}, proxyConfigs: [], rootNamespace };
  const { config, problems } = parseMeshConfig({ name: file, content: readText('--meshConfigFile', file) });
  printProblems(problems);
  if (problems.some(({ severity }) => severity === 'error')) throw new ReportedError();
  return { meshConfig: config ?? {}, proxyConfigs: [], rootNamespace: config?.rootNamespace ?? rootNamespace };
}

function readText(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${option}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
