// Reading order: request.ts and caller.ts (who asks for what), explain.ts (the steps), entry.ts (where the proxy takes the
// call), decide/ (the core), explain-forward.ts and inbound.ts (what follows), read/ (messages in plain words), trace/ (what
// was not chosen), places/ (file and line), explanation.ts (the answer).

export { findCaller, nodeOfWorkload, UnknownCallerError } from './caller.js';
export { RefusedConfigurationError } from './decide/refused-configuration.js';
export { type ExplainInput, explain } from './explain.js';
export { explainArrival, explainWithTokens } from './explain-with-tokens.js';
export * from './explanation.js';
export type { ArrivingCall, ExplainedArrival } from './inbound.js';
export { proxyOf, type WorkloadProxy } from './proxy-of.js';
export { type ExplainedRequest, parseRequest, RequestSyntaxError, requestHead } from './request.js';
