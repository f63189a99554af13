// Fuzzing: every target by name. A new one is added here and gets a folder under `corpus/` where seeds in code do not do.

import { ControlPlaneTarget } from '../control-plane/control-plane-target.js';
import type { FuzzTarget } from '../loop/fuzz-target.js';
import { ClientHelloTarget } from './client-hello.js';
import { Http1CoreTarget } from './http1-core.js';
import { Http1ProxyTarget } from './http1-proxy.js';
import { Http2ProxyTarget } from './http2-proxy.js';
import { IstioYamlTarget } from './istio-yaml.js';
import { XdsResourcesTarget } from './xds-resources.js';

const TARGETS: readonly (new () => FuzzTarget)[] = [
  Http1CoreTarget,
  Http1ProxyTarget,
  Http2ProxyTarget,
  IstioYamlTarget,
  ControlPlaneTarget,
  XdsResourcesTarget,
  ClientHelloTarget,
];

export const TARGET_NAMES: readonly string[] = TARGETS.map((Target) => new Target().name);

/** @throws Error for a name that is none */
export function targetNamed(name: string): FuzzTarget {
  const Target = TARGETS[TARGET_NAMES.indexOf(name)];
  if (Target === undefined) throw new Error(`there is no fuzz target ${name}; there are ${TARGET_NAMES.join(', ')}`);
  return new Target();
}
