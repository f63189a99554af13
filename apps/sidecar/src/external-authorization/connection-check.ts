// External authorization: asks the authorizers of a chain without HTTP about one connection, in the order of its filters, before
// anybody is connected to.

import { addressesOf } from '../downstream/listener-filters/proxy-header.js';
import type { VerifiedClient } from '../downstream/tls-acceptor.js';
import { connectionRefusal } from '../rbac/connection-access.js';
import type { RbacFilter } from '../rbac/rbac-filter.js';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket } from '../transport/proxy-socket.js';
import { type CallOutcome, UnaryCall } from '../upstream/calls/unary-call.js';
import { asks } from './authorizer.js';
import { MAX_CALLS } from './authorizer-counts.js';
import { readCheckAnswer } from './check-answer.js';
import { connectionQuestion } from './check-request.js';
import type { ConnectionAuthorizer } from './compile-authorizer.js';

/** What comes before the TCP proxy, in order. */
export type ConnectionStep =
  | { readonly kind: 'rules'; readonly filter: RbacFilter }
  | { readonly kind: 'authorizer'; readonly authorizer: ConnectionAuthorizer };

/** The connection that is asked about. */
export interface CheckedConnection {
  readonly socket: OwnedSocket;
  readonly serverName: string;
  readonly client: VerifiedClient;
  readonly secure: boolean;
}

/** Told once, perhaps before `begin` returns. */
export interface ConnectionOutcome {
  /** @param denial the connection termination details; empty where it may go on */
  onConnectionChecked(denial: string, askedInVain: boolean): void;
}

/** Envoy's namespace of what authorizers say. */
const METADATA = 'envoy.filters.network.ext_authz';

export class ConnectionCheck implements CallOutcome {
  private at = 0;
  private call: UnaryCall | null = null;

  constructor(
    private readonly path: DataPath,
    private readonly steps: readonly ConnectionStep[],
    private readonly connection: CheckedConnection,
    /** What filters say of it. */
    private readonly noted: Map<string, string>,
    private readonly outcome: ConnectionOutcome,
  ) {}

  begin(): void {
    const { path, steps } = this;
    for (; this.at < steps.length; this.at++) {
      const step = steps[this.at] as ConnectionStep;
      if (step.kind === 'rules') {
        const denial = connectionRefusal(path, [step.filter], this.connection, this.noted);
        if (denial !== '') {
          this.outcome.onConnectionChecked(denial, false);
          return;
        }
      } else if (asks(step.authorizer, this.noted)) {
        this.ask(step.authorizer);
        return;
      } else step.authorizer.counts.disabled++;
    }
    this.outcome.onConnectionChecked('', false);
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.endCall()?.cancel();
  }

  onCallAnswered(message: Uint8Array): void {
    this.endCall();
    const verdict = readCheckAnswer(message);
    if (verdict.kind === 'failed') {
      this.fail(verdict.reason);
      return;
    }
    const { counts } = this.authorizer();
    for (const [name, value] of verdict.metadata) this.noted.set(`${METADATA}:${name}`, value);
    if (verdict.kind === 'denied') {
      counts.denied++;
      this.outcome.onConnectionChecked('ext_authz_denied', true);
      return;
    }
    counts.ok++;
    this.at++;
    this.begin();
  }

  onCallFailed(reason: string): void {
    this.endCall();
    this.fail(reason);
  }

  private ask({ counts, service, tellsServerName }: ConnectionAuthorizer): void {
    const { path, connection } = this;
    counts.total++;
    if (path.authorizers.calls >= MAX_CALLS) {
      this.fail(`${MAX_CALLS} calls are under way`);
      return;
    }
    const { client, serverName, socket } = connection;
    const { names, ownName = '' } = client;
    const asked = { addresses: addressesOf(socket), names, ownName, serverName };
    path.authorizers.calls++;
    this.call = new UnaryCall(path, service, connectionQuestion(asked, tellsServerName), this);
    this.call.begin();
  }

  private fail(reason: string): void {
    const { counts, failureAllows, service } = this.authorizer();
    counts.error++;
    this.path.log('debug', 'an authorizer did not answer', { cluster: service.cluster, reason });
    if (!failureAllows) {
      this.outcome.onConnectionChecked('ext_authz_error', true);
      return;
    }
    counts.failureModeAllowed++;
    this.at++;
    this.begin();
  }

  private endCall(): UnaryCall | null {
    const { call } = this;
    this.call = null;
    if (call !== null) this.path.authorizers.calls--;
    return call;
  }

  private authorizer(): ConnectionAuthorizer {
    const step = this.steps[this.at];
    if (step?.kind !== 'authorizer') throw new Error('a connection waits for nobody');
    return step.authorizer;
  }
}
