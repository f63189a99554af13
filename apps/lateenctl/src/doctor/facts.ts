// Doctor: what a diagnosis goes by, gathered before anything is judged. What could not be had is undefined, and said.

import type { Finding } from '@lateen/analysis';

export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of a cluster: what injection decides of it now; of a mesh of this machine every pod has a proxy. */
  readonly injection: { readonly injected: boolean; readonly code: string; readonly reason: string } | undefined;
  readonly hasProxy: boolean;
  readonly ready: boolean;
  /** Why containers wait, as the cluster says: `istio-proxy: CrashLoopBackOff`. */
  readonly waiting: readonly string[];
  /** Types that its proxy has not taken, with the error where it refused. */
  readonly proxy: readonly { readonly type: string; readonly status: string; readonly error?: string }[] | undefined;
  /** Services that it cannot call, or could only in plain text, from `authn tls-check`. */
  readonly tls:
    | readonly {
        readonly host: string;
        readonly status: string;
        readonly server: readonly string[];
        readonly client: string;
        readonly authnPolicy?: string;
        readonly destinationRule: string;
      }[]
    | undefined;
  /** When its certificate ends, in ms; undefined where it is not known. */
  readonly certificateEndsMs: number | undefined;
  readonly latency: LatencyFacts | undefined;
}

/** From the proxy's own metrics, since it started. Times are in ms; the 99th percentile is of the histogram's bucket. */
export interface LatencyFacts {
  /** Requests that it took, and how long they took with the application. */
  readonly served: RequestTimes | undefined;
  /** Requests that it sent, by the service called. */
  readonly called: readonly (RequestTimes & { readonly service: string })[];
  /** Counters of clusters that are not zero: `upstream_rq_retry`, `upstream_rq_pending_overflow`, `upstream_cx_connect_fail`… */
  readonly counters: readonly { readonly cluster: string; readonly name: string; readonly value: number }[];
}

export interface RequestTimes {
  readonly requests: number;
  readonly failed: number;
  readonly meanMs: number;
  readonly p99Ms: number;
}

export interface DoctorFacts {
  /** What was asked about, in words: `pod shop/web-1`, `service shop/reviews`. */
  readonly subject: string;
  /** Of a service its full name. */
  readonly host: string | undefined;
  readonly pods: readonly PodFacts[];
  /** Of `analyze`, those that concern the subject. */
  readonly findings: readonly Finding[];
  /** What could not be looked at, and why. */
  readonly unknown: readonly string[];
  readonly nowMs: number;
}
