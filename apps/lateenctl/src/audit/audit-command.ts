// Commands: `lateenctl audit verify` and `audit query`: whether audit logs are as they were written, and what they say.

import { existsSync } from 'node:fs';
import { AuditVerifier, type ChainReport } from '@lateen/telemetry/audit/verify.js';
import type { Command } from 'commander';
import { stateDirOf } from '../commands/context.js';
import { ReportedError } from '../output/cli-error.js';
import { errorColors, outputFormat, print, printJson } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { stateLayout } from '../state/state-layout.js';
import { auditFilesOfMesh, withOlderFiles } from './audit-files.js';
import { compileQuery, HEADING, type QueryOptions, rowOf } from './audit-query.js';

export function addAuditCommand(program: Command): void {
  const audit = program
    .command('audit')
    .summary('audit logs of sidecars: whether they are whole, and what they say')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl audit verify
  lateenctl audit query --decision denied --since 10m`,
    );
  addVerify(audit);
  addQuery(audit);
}

interface VerifyOptions {
  readonly running?: boolean;
  readonly output: string;
}

function addVerify(audit: Command): void {
  audit
    .command('verify')
    .summary('find removed, changed and reordered records, and tails that were cut off')
    .description(
      'Reads audit logs, by default those of all pods of the local mesh, each with the files that were put aside for it.\n' +
        'Every chain must begin with its start record and end with its end record; a process that still runs has no end\n' +
        'record yet, which is taken as it is with --running, and while the local mesh runs.',
    )
    .argument('[files...]', 'audit logs')
    .option('--running', 'chains may be without an end record, since their processes run')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Exit codes: 0 nothing is missing, 1 something is; each finding is a line FILE:LINE on standard error.

Examples:
  lateenctl audit verify
  lateenctl audit verify --running /var/lib/lateen/audit.log`,
    )
    .action(async (files: string[], options: VerifyOptions, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const stateDir = stateDirOf(command);
      const meshRuns = files.length === 0 && existsSync(stateLayout(stateDir).meshFile);
      const verifier = new AuditVerifier();
      for (const file of filesOf(files, command)) await verifier.file(file);
      const report = verifier.report(options.running === true || meshRuns);
      if (format === 'json') printJson(report);
      else print(formatTable(CHAIN_HEADING, report.chains.map(chainRow)));
      for (const { file, line, message } of report.problems) {
        process.stderr.write(`${errorColors.red(`${file}:${line}: ${message}`)}\n`);
      }
      if (report.problems.length > 0) throw new ReportedError();
    });
}

const CHAIN_HEADING = ['CHAIN', 'WORKLOAD', 'RECORDS', 'DROPPED', 'LAST', 'END'];

function chainRow({ chain, workload, records, dropped, seq, ended }: ChainReport): string[] {
  return [chain, workload ?? '-', String(records), String(dropped), String(seq), ended ? 'yes' : 'no'];
}

function addQuery(audit: Command): void {
  audit
    .command('query')
    .summary('records by who, what and decision')
    .description(
      'Reads audit logs, by default those of all pods of the local mesh. In --principal and --path, * is any text.',
    )
    .argument('[files...]', 'audit logs')
    .option('--principal <pattern>', "the source's SPIFFE id")
    .option('--path <pattern>', 'the path as forwarded, or as it came')
    .option('--decision <decision>', 'allowed, denied, or none where no policy decided')
    .option('--since <time>', 'a span such as 10m, or a time such as 2026-11-23T18:00:00Z')
    .option('-o, --output <format>', 'table, or json: one record a line', 'table')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl audit query --decision denied --since 10m
  lateenctl audit query --principal '*/sa/bookinfo-productpage' --path '/reviews/*' -o json`,
    )
    .action(async (files: string[], options: QueryOptions & { output: string }, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const isMeant = compileQuery(options, Date.now());
      const verifier = new AuditVerifier();
      const workloads = new Map<string, string | undefined>();
      const rows: string[][] = [];
      for (const file of filesOf(files, command)) {
        await verifier.file(file, (record) => {
          if (record.type === 'start') workloads.set(record.chain, record.workload as string | undefined);
          if (!isMeant(record)) return;
          const workload = workloads.get(record.chain);
          if (format === 'json') print(JSON.stringify({ ...record, workload }));
          else rows.push(rowOf(record, workload));
        });
      }
      if (format === 'table') print(formatTable(HEADING, rows));
      const { problems } = verifier.report(true);
      if (problems.length === 0) return;
      const text = `${problems.length} findings: these logs are not as they were written; see \`lateenctl audit verify\``;
      process.stderr.write(`${errorColors.yellow(text)}\n`);
    });
}

function filesOf(files: readonly string[], command: Command): string[] {
  return files.length > 0 ? withOlderFiles(files) : auditFilesOfMesh(stateDirOf(command));
}
