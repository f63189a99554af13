// Authorization, decision: the sidecar's core on the rules that it would be sent, about one call after another.

import {
  clearClaims,
  compileHttpConnectionManager,
  compileRules,
  createCore,
  encodeClaims,
  internListenerOptions,
  ProblemList,
  putClaims,
  READ_BUFFER,
  type RulesPlace,
} from '@lateen/filters-wasm';
import { type RBAC, RBAC_Action } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { HttpConnectionManager } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { CallFacts, RequestFacts, Verdict } from './reference.js';

interface LoadedRules {
  readonly place: RulesPlace;
  readonly allows: boolean;
  readonly policyNames: readonly string[];
}

/** Rules of one chain after another, in one core. */
export class CoreDecision {
  private readonly core = createCore({ seed: [7, 11] });
  private listener = 0;
  private nowMs = 0;
  private loaded: readonly LoadedRules[] = [];

  /** @param manager of requests; undefined: the rules are about connections */
  load(rules: readonly RBAC[], manager: HttpConnectionManager | undefined): void {
    const { core } = this;
    core.rbac.retain(new Set(), this.nowMs);
    this.nowMs += 1e9;
    core.rbac.retain(new Set(), this.nowMs);
    this.listener = 0;
    if (manager !== undefined) {
      const { options, problems } = compileHttpConnectionManager(manager, 'listener');
      if (problems.length > 0) throw new Error(JSON.stringify(problems));
      this.listener = internListenerOptions(core, options, this.nowMs);
    }
    this.loaded = rules.map((each) => {
      const problems = new ProblemList('Listener', 'l');
      const scope = manager === undefined ? 'network' : 'http';
      const { bytes, policyNames } = compileRules(problems, 'rules', each, scope, core.rulesHash);
      if (problems.problems.length > 0) throw new Error(JSON.stringify(problems.problems));
      const place = core.rbac.intern(bytes, this.nowMs);
      if (place === undefined) throw new Error(`no room for ${bytes.length} bytes`);
      return { place, policyNames, allows: each.action === RBAC_Action.ALLOW };
    });
  }

  decide(call: CallFacts): Verdict {
    const { core, listener } = this;
    const uri = call.principal === undefined ? '' : `spiffe://${call.principal}`;
    const record = core.connections.create({
      remoteAddress: call.sourceIp,
      tls: uri !== '',
      mutualTls: uri !== '',
      xfcc: '',
      principal: uri,
      peer: {
        localAddress: call.destinationIp,
        localPort: call.destinationPort,
        serverName: call.serverName,
        names: uri === '' ? [] : [uri],
      },
    });
    if (call.request !== undefined) this.parse(call.request, call, record);
    let rule: string | undefined;
    let allowed = true;
    for (const { place, allows, policyNames } of this.loaded) {
      const found = core.wasm.checkRules(place.offset, place.serial, listener, record, uri === '' ? 0 : 1);
      rule = policyNames[found];
      allowed = allows === (rule !== undefined);
      if (!allowed) break;
    }
    clearClaims(core);
    core.connections.release(record);
    return { allowed, rule };
  }

  private parse({ method, host, path, headers, claims }: RequestFacts, call: CallFacts, record: number): void {
    const { core } = this;
    const lines = Object.entries(headers).flatMap(([name, values]) => values.map((value) => `${name}: ${value}`));
    if (call.remoteIp !== call.sourceIp) lines.push(`x-forwarded-for: ${call.remoteIp}`);
    const head = [`${method} ${path} HTTP/1.1`, `host: ${host}`, ...lines, '', ''].join('\r\n');
    const length = core.bytes.write(head, READ_BUFFER, 'latin1');
    const parsed = core.wasm.parseRequest(READ_BUFFER, length, 0, this.listener, record);
    if (parsed !== length) throw new Error(`${JSON.stringify(head)} is taken as ${parsed}`);
    const metadata = claims && encodeClaims('payload', claims as Parameters<typeof encodeClaims>[1]);
    putClaims(core, metadata === undefined ? [] : [metadata]);
  }
}
