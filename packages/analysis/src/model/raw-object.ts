// Model: an object of Kubernetes as it was written or as the API server has it, of which only some fields are looked at.

import type { SourcePosition } from '@lateen/istio-config';

export interface RawObject {
  /** Marks it, beside the objects of Istio's kinds. */
  readonly raw: true;
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly controller?: boolean;
    }[];
  };
  readonly source: SourcePosition;
  readonly [field: string]: unknown;
}

export interface RawContainer {
  readonly name: string;
  readonly image?: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
  readonly securityContext?: { readonly runAsUser?: number };
}

export interface RawPodSpec {
  readonly containers?: readonly RawContainer[];
  readonly initContainers?: readonly RawContainer[];
  readonly hostNetwork?: boolean;
  readonly serviceAccountName?: string;
  readonly securityContext?: { readonly runAsUser?: number };
}

export interface RawServicePort {
  readonly name?: string;
  readonly port: number;
  readonly targetPort?: number | string;
  readonly protocol?: string;
  readonly appProtocol?: string;
}

export interface RawServiceSpec {
  readonly type?: string;
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports?: readonly RawServicePort[];
}
