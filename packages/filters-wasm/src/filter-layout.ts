// The formats of rate limits, the state of their token buckets, injected faults and CORS policies, read by TypeScript and by AssemblyScript.
// Like layout.ts: literals only, no import.

/** Token buckets and counters of rate limits by slot (see BUCKET_*, COUNTER_*). */
export const BUCKETS = 101711872;
export const BUCKET_BYTES = 64;
export const BUCKET_COUNT = 16384;
/** Token buckets of single connections. */
export const CONNECTION_BUCKETS = 102760448;
export const CONNECTION_BUCKET_COUNT = 32768;
// Between them: h2-layout.ts.

/** What chargeQuotas fills (see QUOTA_MADE_COUNT). */
export const QUOTA_RESULT = 139460608;
export const QUOTA_RESULT_BYTES = 512;
/** Buckets of quotas (see QUOTA_BUCKET_*): a hash table, whose places are never moved. */
export const QUOTA_BUCKETS = 139461120;
export const QUOTA_BUCKET_COUNT = 16384;
// After them: rbac/rbac-layout.ts.

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
/** 1 = answers tell what it leaves. */
export const LIMIT_TELLS = 36;
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
/**
 * A filter envoy.filters.http.rate_limit_quota: immutable, within a listener's record; offsets are relative to it, but
 * QUOTA_COUNTERS is a place.
 */
export const QUOTA_ID = 0;
export const QUOTA_COUNTERS = 4;
/** Of 1,000,000 requests, how many are looked at, and how many of those over the quota are refused. */
export const QUOTA_ENABLED = 8;
export const QUOTA_ENFORCED = 12;
/** Branches in their order, the first that matches decides: offset, count. */
export const QUOTA_BRANCHES = 16;
export const QUOTA_BRANCH_COUNT = 20;
/** Request mutations where a request over the quota is let through: offset, count. Same places as LIMIT_MUTATIONS. */
export const QUOTA_MUTATIONS = 24;
export const QUOTA_MUTATION_COUNT = 28;
export const QUOTA_BYTES = 32;

/** One action of its matcher tree. Header matchers that must all agree: offset, count. */
export const BRANCH_MATCHERS = 0;
export const BRANCH_MATCHER_COUNT = 4;
/** What the bucket's id is made of: offset, count. None: requests are not limited. */
export const BRANCH_PARTS = 8;
export const BRANCH_PART_COUNT = 12;
export const BRANCH_STATUS = 16;
/** A policy record with the response mutations of the refusal. */
export const BRANCH_REPLY = 20;
/** Text of the refusal: offset, length. */
export const BRANCH_BODY = 24;
export const BRANCH_BODY_LENGTH = 28;
/** Number by which the proxy knows what the parts are called. */
export const BRANCH_ID = 32;
/** STRATEGY_* while no quota is assigned. */
export const BRANCH_STRATEGY = 36;
/** 64-bit integers, of STRATEGY_BUCKET: as BUCKET_INTERVAL and its neighbours. */
export const BRANCH_INTERVAL = 40;
export const BRANCH_MAX_TOKENS = 48;
export const BRANCH_PER_FILL = 56;
/** The response mutations `retry-after` and `ratelimit-reset`, whose value is the seconds until a token (0 = none). */
export const BRANCH_RETRY_AFTER = 64;
export const BRANCH_RESET = 68;
/** What the limit is, in the words of `ratelimit-limit`, where answers to those it lets through tell it: offset, length (0 = they do not). */
export const BRANCH_TOLD = 72;
export const BRANCH_TOLD_LENGTH = 76;
export const BRANCH_BYTES = 80;

/** A part of a bucket's id. A request without the value is not limited by the branch. */
export const PART_KIND = 0;
/** The constant, or the header's name in lower case: offset, length, hash. */
export const PART_TEXT = 4;
export const PART_TEXT_LENGTH = 8;
export const PART_HASH = 12;
/** PSEUDO_* of a header that is none. */
export const PART_PSEUDO = 16;
export const PART_BYTES = 24;
export const PART_CONSTANT = 0;
export const PART_HEADER = 1;
/** The URI of the client's certificate. */
export const PART_PRINCIPAL = 2;
/** The client's address, without port. */
export const PART_ADDRESS = 3;
/** A claim of the verified token: the text is its path (claims-layout.ts). */
export const PART_CLAIM = 4;
/** Longer values are cut, so that those that agree so far share a bucket. */
export const MAX_PART_BYTES = 256;

export const STRATEGY_BUCKET = 0;
export const STRATEGY_ALLOW = 1;
export const STRATEGY_DENY = 2;

/** A bucket: hash of its id (0 = free); 64-bit. */
export const QUOTA_BUCKET_KEY = 0;
export const QUOTA_BUCKET_BRANCH = 8;
/** STRATEGY_*, once assigned; QUOTA_UNASSIGNED before. */
export const QUOTA_BUCKET_STRATEGY = 12;
/** A token bucket, see BUCKET_*. */
export const QUOTA_BUCKET_TOKENS = 16;
/** Floats: requests let through and refused since the bucket was made, and when it was last asked. */
export const QUOTA_BUCKET_ALLOWED = 56;
export const QUOTA_BUCKET_DENIED = 64;
export const QUOTA_BUCKET_USED_AT = 72;
export const QUOTA_BUCKET_BYTES = 80;
export const QUOTA_UNASSIGNED = 3;

/** Filled by chargeQuotas: how many buckets were made, and for each its place and that of its id (see QUOTA_KEY_TEXT). */
export const QUOTA_MADE_COUNT = 139460608;
export const QUOTA_MADE = 139460616;
/** Of a refusal: policy record, text. */
export const QUOTA_REPLY_POLICY = 139460872;
export const QUOTA_REPLY_BODY = 139460876;
export const QUOTA_REPLY_BODY_LENGTH = 139460880;
/** Filters that let a request through over their quota: count, records. */
export const QUOTA_EXCEEDED_COUNT = 139460884;
export const QUOTA_EXCEEDED = 139460888;
/** The tightest quota that answers tell: 1 = there is one, its words (place, length), tokens left, seconds until it has all of them. */
export const QUOTA_TOLD = 139461016;
export const QUOTA_TOLD_TEXT = 139461020;
export const QUOTA_TOLD_LENGTH = 139461024;
export const QUOTA_TOLD_LEFT = 139461028;
export const QUOTA_TOLD_RESET = 139461032;
/** Likewise of local rate limits, whether they let the request through or not: tokens at most, tokens left, seconds until there is one. */
export const LIMIT_TOLD = 139461036;
export const LIMIT_TOLD_MAX = 139461040;
export const LIMIT_TOLD_LEFT = 139461044;
export const LIMIT_TOLD_RESET = 139461048;
/** A chain may have so many quota filters. */
export const MAX_QUOTA_FILTERS = 32;
/** Ids of buckets: for each part its length (4 bytes) and its text, each beginning at a multiple of 4. */
export const QUOTA_KEY_TEXT = 458752;
export const MAX_PARTS = 6;
/** Room for the digits of `retry-after` and its like. */
export const RETRY_AFTER_BYTES = 16;
/** Seconds that are named at most. */
export const MAX_RETRY_AFTER_S = 86400;
