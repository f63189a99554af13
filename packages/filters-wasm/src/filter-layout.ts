// The formats of rate limits, the state of their token buckets, injected faults and CORS policies, read by TypeScript and by AssemblyScript.
// Like layout.ts: literals only, no import.

/** Token buckets and counters of rate limits by slot (see BUCKET_*, COUNTER_*). */
export const BUCKETS = 101711872;
export const BUCKET_BYTES = 64;
export const BUCKET_COUNT = 16384;
/** Token buckets of single connections. */
export const CONNECTION_BUCKETS = 102760448;
export const CONNECTION_BUCKET_COUNT = 32768;
// After them: h2-layout.ts.

/**
 * A token bucket. Time is in whole microseconds, and credit counts tokens times the microseconds of an interval, so that
 * nothing is ever rounded: each microsecond adds BUCKET_PER_FILL, a token costs BUCKET_INTERVAL. 64-bit integers.
 */
export const BUCKET_CREDIT = 0;
export const BUCKET_FILLED_AT = 8;
/** The settings that the credit counts in; 0 before first use. */
export const BUCKET_INTERVAL = 16;
export const BUCKET_MAX_TOKENS = 24;
export const BUCKET_PER_FILL = 32;

/** Counters of one stat_prefix; floats. */
export const COUNTER_ENABLED = 0;
export const COUNTER_ENFORCED = 8;
export const COUNTER_OK = 16;
export const COUNTER_RATE_LIMITED = 24;

/** A rate limit: immutable, in STABLE_REGION; offsets are relative to it, but LIMIT_BUCKET and LIMIT_COUNTERS are places. */
export const LIMIT_BUCKET = 0;
export const LIMIT_COUNTERS = 4;
/** Of 1,000,000 requests, how many are looked at, and how many of those without a token are refused. */
export const LIMIT_ENABLED = 8;
export const LIMIT_ENFORCED = 12;
export const LIMIT_STATUS = 16;
/** 1 = a bucket for each connection. */
export const LIMIT_PER_CONNECTION = 20;
/** Request mutations where a request without a token is let through: offset, count. */
export const LIMIT_MUTATIONS = 24;
export const LIMIT_MUTATION_COUNT = 28;
/** A policy record with the response mutations of the refusal. */
export const LIMIT_REPLY = 32;
/** 64-bit integers. */
export const LIMIT_INTERVAL = 40;
export const LIMIT_MAX_TOKENS = 48;
export const LIMIT_PER_FILL = 56;
export const LIMIT_BYTES = 64;

/** Filled by chargeLimits: policy record of the refusal; limits that let a request through without a token. */
export const ROUTE_LIMIT_POLICY = 98372;
export const ROUTE_LIMITED_COUNT = 98376;
export const ROUTE_LIMITED = 98380;
/** A chain may have so many filters of this kind, or their mutations would not fit. */
export const MAX_RATE_LIMIT_FILTERS = 2;

/** Result of chargeLimits: a bucket of the connection is needed, and nothing was charged. */
export const CHARGE_NEEDS_BUCKET = -1;
/** A fault of a route, a virtual host or a listener's filter: immutable, in STABLE_REGION. */
export const FAULT_DELAY_MS = 0;
/** Of 1,000,000 requests, how many are delayed. */
export const FAULT_DELAY_SHARE = 4;
/** Status of the answer, 0 = none. */
export const FAULT_ABORT_STATUS = 8;
/** Of 1,000,000 requests, how many are answered with it. */
export const FAULT_ABORT_SHARE = 12;
/** The HTTP status has so many bits; above it, one more than the gRPC status that gRPC is told instead. */
export const FAULT_GRPC_SHIFT = 16;
export const FAULT_BYTES = 16;

/** Filled by decideFault: how long the request at hand is held back, and the status to answer with then; 0 = not at all. */
export const ROUTE_FAULT_DELAY_MS = 98392;
export const ROUTE_FAULT_ABORT_STATUS = 98396;

/** A CORS policy of a route or a virtual host: immutable, in STABLE_REGION; offsets are relative to it. */
/** Of 1,000,000 requests, for how many it holds. */
export const CORS_SHARE = 0;
/** 1 = a preflight of another origin is forwarded, 0 = it is answered without a word on sharing. */
export const CORS_FORWARD_UNMATCHED = 4;
/** Origins that are allowed: MATCHER_* records, count. */
export const CORS_ORIGINS = 8;
export const CORS_ORIGIN_COUNT = 12;
/**
 * Response mutations: offset, and how many of them are for every answer; for the answer to a preflight; and for that to a
 * preflight that asks about the private network. Each includes those before it.
 */
export const CORS_MUTATIONS = 16;
export const CORS_SHARED_COUNT = 20;
export const CORS_PREFLIGHT_COUNT = 24;
export const CORS_PRIVATE_COUNT = 28;
export const CORS_BYTES = 32;

/**
 * What heads to clients say of sharing. decideCors fills it; the embedder keeps it with the request and fills it again
 * before each head: policy (0 = nothing), how many of its mutations, length of the origin, its bytes.
 */
export const SHARE_POLICY = 102592;
export const SHARE_COUNT = 102596;
export const SHARE_ORIGIN_LENGTH = 102600;
/** Any origin, to matchers (internal). */
export const SHARE_ANY_ORIGIN = 102604;
export const SHARE_ORIGIN = 102608;
/** A longer origin is not allowed. */
export const SHARE_ORIGIN_MAX_BYTES = 2048;

/** Results of decideCors: nothing to do; a request whose answer is shared; a preflight to answer, allowed or not. */
export const CORS_NONE = 0;
export const CORS_SHARED = 1;
export const CORS_PREFLIGHT = 2;
export const CORS_REFUSED = 3;
