// Conformance, step 3: Pilot's own quota service, for an Envoy: it counts by quotas alone, and lets through what it has none for.

import type { ServerDuplexStream } from '@grpc/grpc-js';
import { Quotas } from '@lateen/pilot/build/quota/quota-service.js';
import { createLogger } from '@lateen/telemetry';
import { type MeshSnapshot, RULE_KEY } from '@lateen/translate';
import type {
  RateLimitQuotaResponse,
  RateLimitQuotaUsageReports,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { waitUntil } from '../../harness/wait-until.js';
import type { ConformanceCase, SendingOfCase } from '../case-file.js';

type Call = ServerDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse>;

/** A host of no case. One request to it is let through, and others are refused once the proxy has its quotas. */
const PROBED_HOST = 'has-quotas.example.net';

/** Whether an Envoy needs quotas for a case. */
export const hasLimits = ({ config }: ConformanceCase): boolean => /^kind: RateLimit$/m.test(config);

/** A case with a limit by which it can be seen that a proxy has its quotas: one that is new to the proxy. */
export function withProbe(conformanceCase: ConformanceCase, number: number): ConformanceCase {
  const probe = `
---
apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: { name: has-quotas, namespace: istio-system }
spec: { hosts: [${PROBED_HOST}], rules: [{ name: ${probeRule(number)}, limit: { requests: 1, per: 1h } }] }
`;
  return { ...conformanceCase, config: conformanceCase.config + probe };
}

const probeRule = (number: number): string => `of-case-${number}`;

/** A request that this limit is for, by the way of another. */
export const probeLike = (sending: SendingOfCase): SendingOfCase => ({
  ...sending,
  ...{ name: 'the probe of quotas', host: PROBED_HOST, method: 'GET', target: '/', headers: {}, body: undefined },
});

/** The counters of one stream, and the quotas that are not sent yet. */
interface Stream {
  readonly counters: Map<string, { readonly hold: number; isAnswered: boolean }>;
  held: RateLimitQuotaResponse | undefined;
  readonly send: (response: RateLimitQuotaResponse) => void;
}

const nameOf = (bucket: Readonly<Record<string, string>> | undefined): string =>
  JSON.stringify(Object.entries(bucket ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));

export class CaseQuotas {
  private readonly quotas = new Quotas(createLogger('pilot', 'silent'));
  private readonly own = this.quotas.createService(() => ({ identity: 'conformance', mayReport: () => true }));
  private readonly streams = new Set<Stream>();
  private holds = 0;
  private isHeld = false;

  readonly definition = this.own.definition;
  readonly implementation = {
    streamRateLimitQuotas: (call: Call) => {
      this.follow(call);
      (this.own.implementation.streamRateLimitQuotas as (call: Call) => void)(call);
    },
  };

  /** Takes the limits of a mesh. */
  publish(mesh: MeshSnapshot): void {
    this.quotas.publish(mesh);
  }

  /** No quota is sent from here on: everything is let through, and none of the tokens of a quota is used. */
  hold(): void {
    this.holds += 1;
    this.isHeld = true;
  }

  /**
   * Sends the quotas of all counters that a proxy has told of meanwhile, the probe's being the last: in one message, so that a proxy has
   * all of them when it has one.
   */
  async release(caseNumber: number): Promise<void> {
    const probe = nameOf({ [RULE_KEY]: `istio-system/has-quotas/${probeRule(caseNumber)}` });
    await waitUntil('the quotas of all that an Envoy counts', () => {
      const counters = [...this.streams].flatMap((stream) => [...stream.counters]);
      const fresh = counters.filter(([, { hold }]) => hold === this.holds);
      return fresh.some(([name]) => name === probe) && fresh.every(([, { isAnswered }]) => isAnswered);
    });
    this.isHeld = false;
    for (const stream of this.streams) {
      if (stream.held !== undefined) stream.send(stream.held);
      stream.held = undefined;
    }
  }

  /** Notes what comes and what goes. */
  private follow(call: Call): void {
    const write = call.write.bind(call) as (response: RateLimitQuotaResponse) => boolean;
    const stream: Stream = { counters: new Map(), held: undefined, send: write };
    this.streams.add(stream);
    call.on('close', () => this.streams.delete(stream));
    call.on('data', ({ bucketQuotaUsages }: RateLimitQuotaUsageReports) => {
      for (const { bucketId } of bucketQuotaUsages) {
        const name = nameOf(bucketId?.bucket);
        if (!stream.counters.has(name)) stream.counters.set(name, { hold: this.holds, isAnswered: false });
      }
    });
    call.write = ((response: RateLimitQuotaResponse) => {
      for (const { bucketId, bucketAction } of response.bucketAction) {
        const name = nameOf(bucketId?.bucket);
        const counter = stream.counters.get(name);
        if (bucketAction.case === 'abandonAction') stream.counters.delete(name);
        else if (counter !== undefined) counter.isAnswered = true;
      }
      if (!this.isHeld) return write(response);
      if (stream.held === undefined) stream.held = response;
      else stream.held.bucketAction.push(...response.bucketAction);
      return true;
    }) as Call['write'];
  }

  close(): void {
    this.quotas.close();
  }
}
