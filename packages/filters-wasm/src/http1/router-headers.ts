// Hashes (hashName of the core) of headers by which a caller that is trusted tells Envoy's router how long to wait and when to
// try again. Nobody is trusted with them here, so they never cross. Compiled by TypeScript and AssemblyScript both.

export const X_ENVOY_RETRY_ON = -1339571067;
export const X_ENVOY_RETRY_GRPC_ON = 29427801;
export const X_ENVOY_MAX_RETRIES = 256973298;
export const X_ENVOY_RETRIABLE_STATUS_CODES = -700092404;
export const X_ENVOY_RETRIABLE_HEADER_NAMES = 2019428472;
export const X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS = -762443170;
export const X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS = -1923408195;
export const X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE = -797088311;
export const X_ENVOY_UPSTREAM_ALT_STAT_NAME = 553094188;
export const X_ENVOY_UPSTREAM_STREAM_DURATION_MS = -946034545;
export const X_ENVOY_EXPECTED_RQ_TIMEOUT_MS = -628587960;
export const X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT = 1403122296;
export const X_ENVOY_FORCE_TRACE = -1987174374;
export const X_ENVOY_IP_TAGS = -1324058000;
export const X_ENVOY_ORIGINAL_URL = 1428475247;
