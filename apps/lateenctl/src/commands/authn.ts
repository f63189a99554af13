// Commands: `lateenctl authn tls-check POD [NAMESPACE]`: whether calls from a pod are encrypted, service by service.

import type { Command } from 'commander';
import { requirePod } from '../mesh/known-pods.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { targetOf } from './context.js';

/** A destination as Pilot tells it at /debug/authn: read off what the proxies were really sent. */
interface TlsCheckRow {
  readonly host: string;
  readonly port: number;
  readonly subset: string;
  readonly status: string;
  readonly server: readonly string[];
  readonly client: string;
  /** NAMESPACE/NAME of the PeerAuthentication that decides the server's mode. */
  readonly authnPolicy?: string;
  readonly destinationRule: string;
}

interface TlsCheck {
  readonly proxyId: string;
  readonly connected: boolean;
  readonly inbound: readonly { readonly port: number; readonly mode: string }[];
  readonly outbound: readonly TlsCheckRow[];
}

export function addAuthnCommand(program: Command): void {
  const authn = program
    .command('authn')
    .summary('authentication between workloads')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl authn tls-check productpage-v1
  lateenctl authn tls-check productpage-v1 default -o json`,
    );
  authn
    .command('tls-check')
    .summary('mutual TLS between a pod and each service that it can call')
    .description(
      "Shows for each service that a pod can call what the service's workloads accept (SERVER), what the pod's sidecar\n" +
        'sends (CLIENT), and which resources decided that. CONFLICT: calls fail. It is read off the configuration that\n' +
        'the sidecars were sent.',
    )
    .argument('<pod>', 'NAME, NAME.NAMESPACE or deployment/NAME')
    .argument('[namespace]', 'namespace of the pod; default: searched in all')
    .option('-n, --namespace <name>', 'the same')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl authn tls-check productpage-v1 default
  lateenctl authn tls-check deployment/istio-ingressgateway -o json`,
    )
    .action(
      async (
        podText: string,
        namespaceArgument: string | undefined,
        options: { namespace?: string; output: string },
        command: Command,
      ) => {
        const format = outputFormat(options.output, ['table', 'json']);
        const target = await targetOf(command);
        const pod = requirePod(await target.pods(), podText, namespaceArgument ?? options.namespace);
        const proxyId = `${pod.name}.${pod.namespace}`;
        const check = await pilotDebug<TlsCheck>(
          target.controlPlane,
          `/debug/authn?proxyID=${encodeURIComponent(proxyId)}`,
        );
        if (format === 'json') return printJson(check);
        printCheck(check);
      },
    );
}

function printCheck(check: TlsCheck): void {
  const rows = check.outbound.map((row) => [
    `${row.host}:${row.port}${row.subset === '' ? '' : ` (${row.subset})`}`,
    row.status,
    row.server.join(',') || '-',
    row.client,
    row.authnPolicy || '-',
    row.destinationRule || '-',
  ]);
  print(formatTable(['HOST:PORT', 'STATUS', 'SERVER', 'CLIENT', 'AUTHN-POLICY', 'DESTINATION-RULE'], rows));
  const inbound = check.inbound.map(({ port, mode }) => `${port} ${mode}`).join(', ');
  if (inbound !== '') print(`\n${check.proxyId} itself accepts: ${inbound}`);
  if (!check.connected) print(`${check.proxyId} is not connected to Pilot: this is what it would be sent.`);
}
