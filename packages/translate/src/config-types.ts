// Translate: the shape of configuration objects until packages/istio-config exports its own (then this file goes).

/** A validated configuration object. */
export interface ConfigObject {
  readonly kind: string;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Milliseconds since 1970; the oldest wins a conflict. */
  readonly creationTimeMs: number;
  readonly spec: unknown;
}

/** The mesh-wide configuration. */
export type MeshConfig = Readonly<Record<string, unknown>>;
