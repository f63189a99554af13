// Options of a listener as the benchmarks of the core take them.

/** Those of a sidecar that takes requests from its application, with nothing special. */
export const LISTENER_OPTIONS = {
  normalizePath: true,
  mergeSlashes: false,
  escapedSlashes: 'keep',
  edge: false,
  useRemoteAddress: false,
  skipXffAppend: false,
  xffNumTrustedHops: 0,
  generateRequestId: true,
  preserveExternalRequestId: false,
  serverHeader: 'overwrite',
  serverName: 'envoy',
  allowWebsocket: true,
  acceptHttp10: false,
  routerHeaders: true,
  forwardClientCert: 'sanitize',
  peerFromRequest: false,
  peerFromResponse: false,
  requestLines: [],
  responseLines: [],
};
