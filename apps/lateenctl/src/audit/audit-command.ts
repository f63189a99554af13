// Commands: `lateenctl audit verify`, `query` and `checkpoints`: whether audit logs are as they were written, what they say, and
// what Citadel has signed of them.

import { AuditVerifier, type ChainReport } from '@lateen/telemetry/audit/verify.js';
import type { Command } from 'commander';
import { stateDirOf, targetOf } from '../commands/context.js';
import { publishedCheckpoints } from '../mesh/citadel-admin.js';
import { ReportedError } from '../output/cli-error.js';
import { errorColors, outputFormat, print, printJson } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { auditFilesOfMesh, withOlderFiles } from './audit-files.js';
import { compileQuery, HEADING, type QueryOptions, rowOf } from './audit-query.js';
import { localMeshRuns, signaturesFrom } from './published-checkpoints.js';

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
  addCheckpoints(audit);
  addQuery(audit);
}

interface VerifyOptions {
  readonly running?: boolean;
  readonly signatures?: string;
  readonly output: string;
}

function addVerify(audit: Command): void {
  audit
    .command('verify')
    .summary('find removed, changed and reordered records, and tails that were cut off')
    .description(
      'Reads audit logs, by default those of all pods of the local mesh, each with the files that were put aside for it.\n' +
        'Every chain must begin with its start record and end with its end record; a process that still runs has no end\n' +
        'record yet, which is taken as it is with --running, and while the local mesh runs. What Citadel has signed must be\n' +
        'there as it was; what is written since its last signature is named.',
    )
    .argument('[files...]', 'audit logs')
    .option('--running', 'chains may be without an end record, since their processes run')
    .option(
      '--signatures <source>',
      'citadel (unless told for the local mesh, and with --citadel), none, or a file saved by `audit checkpoints`',
    )
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Exit codes: 0 nothing is missing, 1 something is; each finding is a line FILE:LINE on standard error.

Examples:
  lateenctl audit verify
  lateenctl audit verify --signatures checkpoints.json audit.log
  lateenctl audit verify --running /var/lib/lateen/audit.log`,
    )
    .action(async (files: string[], options: VerifyOptions, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const isOwnMesh = files.length === 0;
      const read = filesOf(files, command);
      // First what was signed: it is on the disk by then.
      const signatures = await signaturesFrom(options.signatures, isOwnMesh, command);
      const verifier = new AuditVerifier(signatures);
      for (const file of read) await verifier.file(file);
      const report = await verifier.report(options.running === true || (isOwnMesh && localMeshRuns(command)));
      if (format === 'json') printJson(report);
      else {
        print(formatTable(CHAIN_HEADING, report.chains.map(chainRow)));
        for (const line of signatures === undefined ? [NOT_CHECKED] : uncovered(report.chains)) print(line);
      }
      for (const { file, line, message } of report.problems) {
        process.stderr.write(`${errorColors.red(`${file}:${line}: ${message}`)}\n`);
      }
      if (report.problems.length > 0) throw new ReportedError();
    });
}

const CHAIN_HEADING = ['CHAIN', 'WORKLOAD', 'RECORDS', 'DROPPED', 'LAST', 'SIGNED', 'END'];
const NOT_CHECKED = 'signatures were not checked: see --signatures';

function chainRow({ chain, workload, records, dropped, seq, signedSeq, ended }: ChainReport): string[] {
  const signed = signedSeq === 0 ? '-' : String(signedSeq);
  return [chain, workload ?? '-', String(records), String(dropped), String(seq), signed, ended ? 'yes' : 'no'];
}

/** What nobody has signed could be cut off, or written anew, without being found. */
function uncovered(chains: readonly ChainReport[]): string[] {
  return chains
    .filter(({ unsigned }) => unsigned > 0)
    .map(({ chain, seq, signedSeq }) => `records ${signedSeq + 1} to ${seq} of chain ${chain} are not signed yet`);
}

function addCheckpoints(audit: Command): void {
  audit
    .command('checkpoints')
    .summary('what Citadel has signed: its keys, and the last checkpoint of each chain')
    .description(
      'Prints JSON for `audit verify --signatures FILE`. Kept where nobody who can write the logs can change it, it says later\n' +
        'what must still be there, also without Citadel.',
    )
    .addHelpText(
      'after',
      `
Examples:
  lateenctl audit checkpoints > checkpoints.json`,
    )
    .action(async (_options: object, command: Command) => {
      printJson(await publishedCheckpoints((await targetOf(command)).controlPlane));
    });
}

function addQuery(audit: Command): void {
  audit
    .command('query')
    .summary('records by who, what and decision')
    .description(
      'Reads audit logs, by default those of all pods of the local mesh. In --principal, --subject and --path, * is any text.',
    )
    .argument('[files...]', 'audit logs')
    .option('--principal <pattern>', "the source's SPIFFE id")
    .option('--subject <pattern>', 'the subject of the token that was checked')
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
      const { problems } = await verifier.report(true);
      if (problems.length === 0) return;
      const text = `${problems.length} findings: these logs are not as they were written; see \`lateenctl audit verify\``;
      process.stderr.write(`${errorColors.yellow(text)}\n`);
    });
}

function filesOf(files: readonly string[], command: Command): string[] {
  return files.length > 0 ? withOlderFiles(files) : auditFilesOfMesh(stateDirOf(command));
}
