// Bug report: `lateenctl bug-report`: everything that helps others to understand a mesh, in one file, without secrets.

import { existsSync, statSync } from 'node:fs';
import type { AdminRole } from '@lateen/identity/plain';
import type { Command } from 'commander';
import { withCluster } from '../cluster/cluster.js';
import { collect, meansCluster } from '../commands/context.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { errorColors, print } from '../output/print.js';

interface BugReportOptions {
  readonly output?: string;
  readonly namespace: readonly string[];
  readonly tail: string;
  readonly revision: string;
}

export function addBugReportCommand(program: Command): void {
  program
    .command('bug-report')
    .summary('what others need to understand a mesh, in one archive without secrets')
    .option('-o, --output <file>', 'the archive (default: lateen-bug-report-TIME.tar.gz in this directory)')
    .option(
      '-n, --namespace <name>',
      'pods of this namespace; may be said several times (default: all with proxies)',
      collect,
      [],
    )
    .option('--tail <lines>', 'last lines of each log', '2000')
    .option('--revision <name>', 'in a cluster: whose Pilot is asked', 'default')
    .addHelpText(
      'after',
      `
In it: versions, findings of analyze, proxy-status, what each proxy works with, MeshConfig and the injector's configuration,
leases, webhooks, pods, events and logs; of a local mesh the same as far as there is such a thing, also after its end.
Not in it: values of Secrets, private keys, tokens, and variables whose names say that they hold such. Logs of your own
programs may hold what nobody else recognises: look into the file before you give it away.
What could not be read stands in missing.txt.
Exit codes: 0 written, 1 not written, 3 the API server does not answer.

Examples:
  lateenctl bug-report
  lateenctl bug-report -n shop -n payments -o shop.tar.gz
  lateenctl bug-report --tail 200`,
    )
    .action(async (options: BugReportOptions, command: Command) => {
      const tailLines = Number(options.tail);
      if (!Number.isInteger(tailLines) || tailLines < 0)
        throw new UsageError(`--tail ${options.tail}: not a number of lines`);
      const made = new Date();
      const file = options.output ?? `lateen-bug-report-${made.toISOString().replaceAll(/[:.]/g, '-')}.tar.gz`;
      if (existsSync(file)) throw new CliError(`${file} is there already`);
      const [{ Report }, { writeArchive }] = await Promise.all([import('./report.js'), import('./archive.js')]);
      const report = new Report();
      const scope = { namespaces: options.namespace, tailLines };
      if (meansCluster(command)) {
        const { collectCluster } = await import('./cluster-report.js');
        const { as: role = 'viewer' } = command.optsWithGlobals<{ as?: AdminRole }>();
        const { revision } = options;
        await withCluster(command, (cluster) => collectCluster(report, cluster, { ...scope, revision, role }));
      } else {
        const { collectLocal } = await import('./local-report.js');
        await collectLocal(report, command, scope);
      }
      const missing = report.missing.map((each) => `${each}\n`).join('');
      const entries = [...report.entries, { path: 'missing.txt', text: missing }];
      await writeArchive(file, entries, made).catch((error: Error) => {
        throw new CliError(`cannot write ${file}: ${error.message}`);
      });
      if (report.missing.length > 0) {
        const what = report.missing.length === 1 ? '1 thing' : `${report.missing.length} things`;
        process.stderr.write(
          `${errorColors.yellow('warning:')} ${what} could not be read; missing.txt says which and why\n`,
        );
      }
      print(`${file}: ${report.entries.length} files, ${Math.ceil(statSync(file).size / 1024)} KiB`);
    });
}
