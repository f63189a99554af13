// Meaning: the rules of each kind, by kind.

import { checkDeployment, checkService } from '../kubernetes/meaning.js';
import type { IstioSpecs, KubernetesSpecs } from '../object.js';
import { checkDestinationRule } from './destination-rule.js';
import { checkGateway } from './gateway.js';
import { checkPeerAuthentication } from './peer-authentication.js';
import type { MeaningRule } from './rule.js';
import { checkServiceEntry } from './service-entry.js';
import { checkSidecar } from './sidecar.js';
import { checkTelemetry } from './telemetry.js';
import { checkVirtualService } from './virtual-service.js';

type Specs = IstioSpecs & KubernetesSpecs;

/** What a spec has to mean, beyond its structure. */
export const MEANING: { readonly [K in keyof Specs]: MeaningRule<Specs[K]> } = {
  VirtualService: checkVirtualService,
  DestinationRule: checkDestinationRule,
  Gateway: checkGateway,
  Sidecar: checkSidecar,
  PeerAuthentication: checkPeerAuthentication,
  Telemetry: checkTelemetry,
  ServiceEntry: checkServiceEntry,
  Service: checkService,
  Deployment: checkDeployment,
  Namespace: () => {},
  ServiceAccount: () => {},
};
