// What Pilot answers at /debug/describe and `lateenctl describe` shows. Scripts read the shapes (`-o json`): add to them, take nothing away.

/** A resource, and where it was written. */
export interface SourceRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** As whoever applied it named it; empty where it did not come from a file. */
  readonly file: string;
  readonly line: number;
}

export interface Warning {
  /** Stable code, such as `subset-without-pods`. */
  readonly code: string;
  readonly message: string;
  /** What it is about, where that is a resource. */
  readonly source?: SourceRef;
}

/** Mutual TLS at a port of a workload. */
export interface PortMtls {
  readonly port: number;
  readonly mode: 'STRICT' | 'PERMISSIVE' | 'DISABLE';
  /** The PeerAuthentication that decides it; none: the default holds. */
  readonly policy?: SourceRef;
}

export interface SubsetDescription {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Pods with these labels. */
  readonly pods: readonly string[];
}

export interface RouteDescription {
  readonly match: string;
  readonly to: string;
}

export interface VirtualServiceDescription {
  readonly source: SourceRef;
  readonly hosts: readonly string[];
  readonly routes: readonly RouteDescription[];
}

/** A way in from outside of the mesh. */
export interface ExposureDescription {
  readonly gateway: SourceRef;
  /** PROTOCOL PORT of the server. */
  readonly server: string;
  readonly hosts: readonly string[];
  readonly virtualService: SourceRef;
  /** Pods that run the gateway. */
  readonly pods: readonly string[];
}

/** A DestinationRule as it holds for calls to a service. */
export interface DestinationRuleDescription {
  readonly source: SourceRef;
  /** TLS of calls to it, as the rule says; `AUTO`: it says nothing. */
  readonly tls: string;
  readonly subsets: readonly SubsetDescription[];
}

/** A DestinationRule that only some clients follow: it selects them, or is of their namespace. */
export interface ClientRuleDescription extends DestinationRuleDescription {
  /** POD.NAMESPACE of each. */
  readonly clients: readonly string[];
}

export interface ServiceDescription {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
  readonly ports: readonly {
    readonly port: number;
    readonly name: string;
    readonly targetPort: number;
    readonly protocol: string;
  }[];
  readonly pods: readonly { readonly name: string; readonly ready: boolean }[];
  /** For clients of its namespace in general. */
  readonly destinationRule?: DestinationRuleDescription;
  readonly clientRules: readonly ClientRuleDescription[];
  readonly virtualService?: VirtualServiceDescription;
  readonly exposure: readonly ExposureDescription[];
  /** Of its first pod for each port; pods of one service rarely differ. */
  readonly mtls: readonly PortMtls[];
  readonly warnings: readonly Warning[];
}

export interface PodDescription {
  readonly name: string;
  readonly namespace: string;
  readonly workload: string;
  readonly serviceAccount: string;
  readonly address: string;
  readonly ready: boolean;
  readonly gateway: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly { readonly port: number; readonly name: string }[];
  readonly mtls: readonly PortMtls[];
  /** Gateway resources that it runs. */
  readonly gateways: readonly SourceRef[];
  /** Services that select it. */
  readonly services: readonly ServiceDescription[];
  readonly scope: {
    /** The Sidecar resource that holds for it; none: it sees all that is exported to its namespace. */
    readonly sidecar?: SourceRef;
    readonly outboundTrafficPolicy: 'ALLOW_ANY' | 'REGISTRY_ONLY';
    /** What happens to calls of hosts that it does not know; only with interception can they be passed through. */
    readonly unknownHosts: 'PASSED_THROUGH' | 'REFUSED';
    /** Services that it may call, and how many are exported to its namespace. */
    readonly services: readonly string[];
    readonly exported: number;
  };
  /** DestinationRules that it follows and other clients of its namespace do not, by the host called. */
  readonly clientRules: readonly { readonly host: string; readonly source: SourceRef }[];
  /** About the pod and what it calls; those of its services stand with them. */
  readonly warnings: readonly Warning[];
}
