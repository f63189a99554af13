// The formats of compiled tables and of the state that outlives them, read by TypeScript and by AssemblyScript.
// Like layout.ts: literals only, no import. Offsets in a table are relative to its start: it can be copied as it is.

// ---- Cluster state (CLUSTER_STATES + slot * CLUSTER_STATE_BYTES) -------------------------------------------------------
/** Absolute offset of the cluster's table; 0 = no such cluster now. */
export const CLUSTER_STATE_TABLE = 0;
/** In use now. */
export const CLUSTER_STATE_CONNECTIONS = 4;
export const CLUSTER_STATE_PENDING = 8;
export const CLUSTER_STATE_REQUESTS = 12;
export const CLUSTER_STATE_RETRIES = 16;
/** Refused by a circuit breaker so far, by the same four kinds. */
export const CLUSTER_STATE_OVERFLOWS = 20;
/** Round-robin cursor. */
export const CLUSTER_STATE_CURSOR = 36;
/** Requests so far (wraps at 2^32). */
export const CLUSTER_STATE_TOTAL = 40;

/** Kinds for acquire() and release(). */
export const LIMIT_CONNECTIONS = 0;
export const LIMIT_PENDING = 1;
export const LIMIT_REQUESTS = 2;
export const LIMIT_RETRIES = 3;

// ---- Endpoint state (ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES) ----------------------------------------------------
export const ENDPOINT_STATE_ACTIVE = 0;
/** UNUSABLE_* bits; not 0: not picked but in a panic. Set by the embedder. */
export const ENDPOINT_STATE_EJECTED = 4;
/** By outlier detection. */
export const UNUSABLE_EJECTED = 1;
/** It fails its active health checks. */
export const UNUSABLE_FAILING = 2;
/** Its first health check is not over: never picked, and not counted as an endpoint that there is. */
export const UNUSABLE_UNCHECKED = 4;
/** Current weight of smooth weighted round robin. */
export const ENDPOINT_STATE_CURRENT_WEIGHT = 8;
/** Picks so far (wraps at 2^32). */
export const ENDPOINT_STATE_TOTAL = 12;

// ---- Results of pick() that are not an endpoint slot -------------------------------------------------------------------
export const PICK_NO_HEALTHY = -1;
export const PICK_NO_CLUSTER = -2;
/** The cluster sends each connection to its original destination. */
export const PICK_ORIGINAL_DESTINATION = -3;

// ---- Cluster table -----------------------------------------------------------------------------------------------------
/** LB_*. */
export const CLUSTER_POLICY = 0;
export const CLUSTER_ENDPOINT_COUNT = 4;
/** Relative offset of entries of CLUSTER_ENDPOINT_BYTES: slot, weight, priority, cumulative weight in the priority. */
export const CLUSTER_ENDPOINTS = 8;
export const CLUSTER_PRIORITY_COUNT = 12;
/** Relative offset of PRIORITY_* records. */
export const CLUSTER_PRIORITIES = 16;
/** Limits in the order of LIMIT_*; 4 x i32. */
export const CLUSTER_LIMITS = 20;
export const CLUSTER_CHOICES = 36;
/** CLUSTER_FLAG_* bits. */
export const CLUSTER_FLAGS = 40;
/** From 44 on: hash-layout.ts, budget-layout.ts, priority-layout.ts. */
export const CLUSTER_TABLE_BYTES = 80;
export const CLUSTER_ENDPOINT_BYTES = 16;

export const LB_ROUND_ROBIN = 0;
export const LB_LEAST_REQUEST = 1;
export const LB_RANDOM = 2;
export const LB_ORIGINAL_DESTINATION = 3;

/** All weights of every priority are equal. */
export const CLUSTER_FLAG_EQUAL_WEIGHTS = 1;
/** Outside the mesh: peer headers are not sent there. */
export const CLUSTER_FLAG_EXTERNAL = 2;

// ---- Route configuration table -------------------------------------------------------------------------------------------
/** Exact domains: hash table of (hash, relative name offset, length, relative virtual host offset), capacity 2^n. */
export const CONFIG_EXACT_MASK = 0;
export const CONFIG_EXACT_INDEX = 4;
/** Wildcards: relative offset of (name offset, length, virtual host offset), longest first; count. */
export const CONFIG_SUFFIX_LIST = 8;
export const CONFIG_SUFFIX_COUNT = 12;
export const CONFIG_PREFIX_LIST = 16;
export const CONFIG_PREFIX_COUNT = 20;
/** Relative virtual host of `*`, 0 = none. */
export const CONFIG_DEFAULT_VIRTUAL_HOST = 24;
/** Request mutations: relative offset, count. */
export const CONFIG_MUTATIONS = 28;
export const CONFIG_MUTATION_COUNT = 32;
/** CONFIG_FLAG_* bits. */
export const CONFIG_FLAGS = 36;
export const CONFIG_TABLE_BYTES = 40;
export const CONFIG_FLAG_MOST_SPECIFIC_WINS = 1;
/** The port of a CONNECT is not looked at where its virtual host is found; that of other requests never is. */
export const CONFIG_FLAG_IGNORE_CONNECT_PORT = 2;
export const DOMAIN_ENTRY_BYTES = 16;
export const WILDCARD_ENTRY_BYTES = 12;

export const VIRTUAL_HOST_ROUTES = 0;
export const VIRTUAL_HOST_ROUTE_COUNT = 4;
export const VIRTUAL_HOST_MUTATIONS = 8;
export const VIRTUAL_HOST_MUTATION_COUNT = 12;
/** VIRTUAL_HOST_REQUIRE_TLS. */
export const VIRTUAL_HOST_FLAGS = 16;
/** Policy used where no route matched or the answer is local (absolute). */
export const VIRTUAL_HOST_POLICY = 20;
/** Configurations in place of those of the listener's filters: relative offset of FILTER_ENTRY, count. */
export const VIRTUAL_HOST_FILTERS = 24;
/** Index of its routes by path (route-index-layout.ts): relative offset, 0 = none. */
export const VIRTUAL_HOST_ROUTE_INDEX = 32;
export const VIRTUAL_HOST_BYTES = 40;
/** In lists of a listener (relative offsets), a virtual host and a route (places): number of the filter, record (0 = none). */
export const FILTER_ENTRY_BYTES = 8;
export const VIRTUAL_HOST_REQUIRE_TLS = 1;

export const ROUTE_ENTRY_MATCH = 0;
/** Bytes of the path to match; lower-cased where case is ignored. */
export const ROUTE_ENTRY_PATH_OFFSET = 4;
export const ROUTE_ENTRY_PATH_LENGTH = 8;
/** ROUTE_ENTRY_FLAG_* bits. */
export const ROUTE_ENTRY_FLAGS = 12;
export const ROUTE_ENTRY_MATCHERS = 16;
export const ROUTE_ENTRY_MATCHER_COUNT = 20;
/** Runs the route for so many of 1,000,000 requests; -1 = all. */
export const ROUTE_ENTRY_FRACTION = 24;
export const ROUTE_ENTRY_ACTION = 28;
/** Forward: cluster slot; or with weights: relative offset of WEIGHTED_* entries, count, total. */
export const ROUTE_ENTRY_CLUSTER = 32;
export const ROUTE_ENTRY_WEIGHTED = 36;
export const ROUTE_ENTRY_WEIGHTED_COUNT = 40;
export const ROUTE_ENTRY_WEIGHT_TOTAL = 44;
/** Absolute offset of the policy record (STABLE_REGION). */
export const ROUTE_ENTRY_POLICY = 48;
/** Request mutations: relative offset, count. */
export const ROUTE_ENTRY_MUTATIONS = 52;
export const ROUTE_ENTRY_MUTATION_COUNT = 56;
/** Forward: prefix rewrite, -1 = none; redirect: path replacement. */
export const ROUTE_ENTRY_REWRITE_OFFSET = 60;
export const ROUTE_ENTRY_REWRITE_LENGTH = 64;
/** Forward: literal Host, redirect: host; length -1 = none. */
export const ROUTE_ENTRY_HOST_OFFSET = 68;
export const ROUTE_ENTRY_HOST_LENGTH = 72;
/** Direct response or redirect: status; direct response: body. */
export const ROUTE_ENTRY_STATUS = 76;
export const ROUTE_ENTRY_BODY_OFFSET = 80;
export const ROUTE_ENTRY_BODY_LENGTH = 84;
export const ROUTE_ENTRY_NAME_OFFSET = 88;
export const ROUTE_ENTRY_NAME_LENGTH = 92;
/** Redirect: scheme, 0 = keep, 1 = http, 2 = https; port, 0 = keep. */
export const ROUTE_ENTRY_REDIRECT_SCHEME = 96;
export const ROUTE_ENTRY_REDIRECT_PORT = 100;
/** Query parameter matchers, same format as header matchers. */
export const ROUTE_ENTRY_QUERY_MATCHERS = 104;
export const ROUTE_ENTRY_QUERY_MATCHER_COUNT = 108;
/** Relative offset of a REWRITE_* record, 0 = none: in place of ROUTE_ENTRY_REWRITE_*. */
export const ROUTE_ENTRY_REGEX_REWRITE = 112;
/** As VIRTUAL_HOST_FILTERS. */
export const ROUTE_ENTRY_FILTERS = 116;
export const ROUTE_ENTRY_BYTES = 128;

export const PATH_MATCH_PREFIX = 0;
export const PATH_MATCH_EXACT = 1;
export const PATH_MATCH_SEPARATED_PREFIX = 2;
export const PATH_MATCH_CONNECT = 3;
/** ROUTE_ENTRY_PATH_OFFSET is that of a REGEX_* record. */
export const PATH_MATCH_REGEX = 4;
export const ROUTE_ENTRY_FLAG_IGNORE_CASE = 1;
/** Redirect: replace the whole path (else the matched prefix). */
export const ROUTE_ENTRY_FLAG_REDIRECT_PATH = 2;
export const ROUTE_ENTRY_FLAG_REDIRECT_PREFIX = 4;
export const ROUTE_ENTRY_FLAG_STRIP_QUERY = 8;
/** Forward: ROUTE_ENTRY_HOST_* is the name of the header whose value becomes the Host. */
export const ROUTE_ENTRY_FLAG_HOST_FROM_HEADER = 16;
/** Forward: where the route rewrites the Host, x-forwarded-host says what it was. */
export const ROUTE_ENTRY_FLAG_APPEND_HOST = 32;

/** Weighted cluster entry: slot, cumulative weight, request mutations (relative offset, count), policy (absolute). */
export const WEIGHTED_CLUSTER = 0;
export const WEIGHTED_CUMULATIVE = 4;
export const WEIGHTED_MUTATIONS = 8;
export const WEIGHTED_MUTATION_COUNT = 12;
export const WEIGHTED_POLICY = 16;
export const WEIGHTED_HOST_OFFSET = 20;
export const WEIGHTED_HOST_LENGTH = 24;
export const WEIGHTED_BYTES = 28;

/** Header or query parameter matcher. */
export const MATCHER_NAME_OFFSET = 0;
export const MATCHER_NAME_LENGTH = 4;
export const MATCHER_NAME_HASH = 8;
/** MATCHER_*: what is compared. */
export const MATCHER_KIND = 12;
export const MATCHER_VALUE_OFFSET = 16;
export const MATCHER_VALUE_LENGTH = 20;
/** MATCHER_FLAG_* bits. */
export const MATCHER_FLAGS = 24;
/** PSEUDO_* or 0. */
export const MATCHER_PSEUDO = 28;
/** floats: half-open range. */
export const MATCHER_RANGE_START = 32;
export const MATCHER_RANGE_END = 40;
export const MATCHER_BYTES = 48;

export const MATCHER_PRESENT = 0;
export const MATCHER_EXACT = 1;
export const MATCHER_PREFIX = 2;
export const MATCHER_SUFFIX = 3;
export const MATCHER_CONTAINS = 4;
export const MATCHER_RANGE = 5;
export const MATCHER_ABSENT = 6;
/** MATCHER_VALUE_OFFSET is that of a REGEX_* record. */
export const MATCHER_REGEX = 7;
export const MATCHER_FLAG_INVERT = 1;
export const MATCHER_FLAG_IGNORE_CASE = 2;
export const MATCHER_FLAG_MISSING_AS_EMPTY = 4;
export const PSEUDO_METHOD = 1;
export const PSEUDO_PATH = 2;
export const PSEUDO_AUTHORITY = 3;
export const PSEUDO_SCHEME = 4;

/** Header mutation: what, name (lower case), value. Offsets are relative to the table that holds them. */
export const MUTATION_KIND = 0;
export const MUTATION_NAME_OFFSET = 4;
export const MUTATION_NAME_LENGTH = 8;
export const MUTATION_NAME_HASH = 12;
export const MUTATION_VALUE_OFFSET = 16;
export const MUTATION_VALUE_LENGTH = 20;
export const MUTATION_BYTES = 24;
export const MUTATION_REMOVE = 0;
export const MUTATION_APPEND = 1;
export const MUTATION_ADD_IF_ABSENT = 2;
export const MUTATION_OVERWRITE = 3;
export const MUTATION_OVERWRITE_IF_EXISTS = 4;
/** Replaces the authority (name is :authority or host). */
export const MUTATION_SET_AUTHORITY = 5;

// ---- Metric series (SERIES_REGION + n * SERIES_BYTES) --------------------------------------------------------------------
/** Key: six numbers that the embedder gives meaning to. */
export const SERIES_CONTEXT = 0;
export const SERIES_PEER = 4;
export const SERIES_CONNECTION = 8;
export const SERIES_CODE = 12;
export const SERIES_FLAGS = 16;
export const SERIES_GRPC_STATUS = 20;
export const SERIES_HASH = 24;
/** floats. */
export const SERIES_REQUESTS = 32;
/** Messages of gRPC; floats. */
export const SERIES_REQUEST_MESSAGES = 304;
export const SERIES_RESPONSE_MESSAGES = 312;
export const SERIES_DURATION_SUM = 40;
export const SERIES_REQUEST_BYTES_SUM = 48;
export const SERIES_RESPONSE_BYTES_SUM = 56;
/** Three histograms of 20 counters (u32): SERIES_BUCKET_BOUNDS and +Inf, not cumulative. */
export const SERIES_DURATION_BUCKETS = 64;
export const SERIES_REQUEST_BYTES_BUCKETS = 144;
export const SERIES_RESPONSE_BYTES_BUCKETS = 224;
export const SERIES_BUCKET_COUNT = 20;

// ---- Header names the core knows (HEADER_KNOWN) and texts it writes; core-texts.ts holds the words. Texts below KNOWN_COUNT are the names -
export const KNOWN_HOST = 1;
export const KNOWN_CONTENT_LENGTH = 2;
export const KNOWN_TRANSFER_ENCODING = 3;
export const KNOWN_CONNECTION = 4;
export const KNOWN_KEEP_ALIVE = 5;
export const KNOWN_PROXY_CONNECTION = 6;
export const KNOWN_TE = 7;
export const KNOWN_TRAILER = 8;
export const KNOWN_UPGRADE = 9;
export const KNOWN_PROXY_AUTHENTICATE = 10;
export const KNOWN_PROXY_AUTHORIZATION = 11;
export const KNOWN_HTTP2_SETTINGS = 12;
/** Ids from 3 to this one are hop-by-hop. */
export const KNOWN_LAST_HOP_BY_HOP = 12;
export const KNOWN_EXPECT = 13;
export const KNOWN_REQUEST_ID = 14;
export const KNOWN_FORWARDED_PROTO = 15;
export const KNOWN_FORWARDED_FOR = 16;
export const KNOWN_CLIENT_CERT = 17;
export const KNOWN_PEER_METADATA = 18;
export const KNOWN_PEER_METADATA_ID = 19;
export const KNOWN_ATTEMPT_COUNT = 20;
export const KNOWN_SERVICE_TIME = 21;
export const KNOWN_SERVER = 22;
export const KNOWN_DATE = 23;
export const KNOWN_ORIGINAL_PATH = 24;
export const KNOWN_GRPC_STATUS = 25;
export const KNOWN_CONTENT_TYPE = 26;
export const KNOWN_GRPC_TIMEOUT = 27;
export const KNOWN_COUNT = 28;

export const TEXT_CLOSE = 28;
export const TEXT_KEEP_ALIVE = 29;
export const TEXT_UPGRADE = 30;
export const TEXT_CHUNKED = 31;
export const TEXT_WEBSOCKET = 32;
export const TEXT_CONTINUE = 33;
export const TEXT_HTTP = 34;
export const TEXT_HTTPS = 35;
export const TEXT_VERSION_LINE_END = 36;
export const TEXT_VERSION = 37;
export const TEXT_CHUNKED_LINE = 38;
export const TEXT_CONNECTION_CLOSE_LINE = 39;
export const TEXT_CONNECTION_KEEP_ALIVE_LINE = 40;
export const TEXT_CONNECTION_UPGRADE_LINE = 41;
export const TEXT_TEXT_PLAIN_LINE = 42;
export const TEXT_LOCATION = 43;
export const TEXT_GET = 44;
export const TEXT_HEAD = 45;
export const TEXT_POST = 46;
export const TEXT_PUT = 47;
export const TEXT_DELETE = 48;
export const TEXT_OPTIONS = 49;
export const TEXT_PATCH = 50;
export const TEXT_CONNECT = 51;
export const TEXT_TRACE = 52;
export const TEXT_UNKNOWN_REASON = 53;
export const TEXT_TRAILERS = 54;
export const TEXT_GRPC = 55;
export const TEXT_ORIGIN = 56;
export const TEXT_REQUEST_METHOD = 57;
export const TEXT_REQUEST_PRIVATE_NETWORK = 58;
export const TEXT_ALLOW_ORIGIN = 59;
export const TEXT_TRUE = 60;
export const TEXT_GRPC_MESSAGE = 61;
export const TEXT_NO_BODY_LINE = 62;
export const TEXT_INTERNAL = 63;
export const TEXT_FORWARDED_HOST = 64;
export const TEXT_FORWARDED_PORT = 65;
export const TEXT_COUNT = 66;

// ---- Policy record of a route (in STABLE_REGION, immutable) -----------------------------------------------------------
/** Whole-request time limit in ms, 0 = none. */
export const POLICY_TIMEOUT_MS = 0;
/** Stream idle limit of the route in ms, 0 = none, -1 = the listener's. */
export const POLICY_IDLE_TIMEOUT_MS = 4;
export const POLICY_PER_TRY_TIMEOUT_MS = 8;
export const POLICY_PER_TRY_IDLE_TIMEOUT_MS = 12;
/** RETRY_ON_* bits; 0 = no retries. */
export const POLICY_RETRY_ON = 16;
export const POLICY_RETRIES = 20;
export const POLICY_RETRY_BACKOFF_BASE_MS = 24;
export const POLICY_RETRY_BACKOFF_MAX_MS = 28;
/** 1 = a retry avoids the endpoints tried before, for so many selection attempts. */
export const POLICY_AVOID_PREVIOUS = 32;
export const POLICY_HOST_SELECTION_ATTEMPTS = 36;
/** Up to 8 status codes for RETRY_ON_RETRIABLE_STATUS_CODES: count, then i32 each. */
export const POLICY_RETRIABLE_CODE_COUNT = 40;
export const POLICY_RETRIABLE_CODES = 44;
export const POLICY_MAX_RETRIABLE_CODES = 8;
/** Response mutations: offset relative to the policy, count (internal). */
export const POLICY_RESPONSE_MUTATIONS = 76;
export const POLICY_RESPONSE_MUTATION_COUNT = 80;
export const POLICY_FLAGS = 84;
export const POLICY_MAX_STREAM_DURATION_MS = 88;
/** Status where the cluster does not exist: 503 or 404 or 500. */
export const POLICY_CLUSTER_NOT_FOUND_STATUS = 92;
/** Bytes of a request's body that are kept for a retry, -1 = as many as the listener keeps. */
export const POLICY_RETRY_BUFFER_BYTES = 96;
/** Header conditions of retries as JSON (RetryHeaders), read by JavaScript: offset relative to the policy, length; 0 = none. */
export const POLICY_RETRY_HEADERS_OFFSET = 100;
export const POLICY_RETRY_HEADERS_LENGTH = 104;
/** The most that grpc-timeout may make of the time limit, 0 = anything, -1 = it is not looked at (max_grpc_timeout). */
export const POLICY_GRPC_TIMEOUT_MAX_MS = 112;
/** The same for the limit of the whole stream (grpc_timeout_header_max), and what is taken off the header's time first. */
export const POLICY_STREAM_GRPC_MAX_MS = 116;
export const POLICY_STREAM_GRPC_OFFSET_MS = 120;
/** 108 is POLICY_HASHES, 124 POLICY_MIRRORS, 128 POLICY_STATISTICS. */
export const POLICY_BYTES = 136;

export const POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST = 1;
export const POLICY_FLAG_ATTEMPT_COUNT_IN_RESPONSE = 2;
/** The route says whether WebSocket upgrades may go through, and what. */
export const POLICY_FLAG_WEBSOCKET_SET = 4;
export const POLICY_FLAG_WEBSOCKET = 8;
/** The same for CONNECT. */
export const POLICY_FLAG_CONNECT_SET = 16;
export const POLICY_FLAG_CONNECT = 32;
/** CONNECT ends here: the upstream gets what is in the tunnel. The same for POST. */
export const POLICY_FLAG_TERMINATE = 64;
export const POLICY_FLAG_TERMINATE_POST = 128;
/** The PROXY protocol that such an upstream's connections begin with; 0 = none, else its version. */
export const POLICY_TUNNEL_PROXY_SHIFT = 8;
export const POLICY_TUNNEL_PROXY_MASK = 3;

export const RETRY_ON_5XX = 1;
export const RETRY_ON_GATEWAY_ERROR = 2;
export const RETRY_ON_RESET = 4;
export const RETRY_ON_RESET_BEFORE_REQUEST = 8;
export const RETRY_ON_CONNECT_FAILURE = 16;
export const RETRY_ON_RETRIABLE_4XX = 32;
export const RETRY_ON_REFUSED_STREAM = 64;
export const RETRY_ON_RETRIABLE_STATUS_CODES = 128;
/** Decided by JavaScript, since they ask for headers of the response. */
export const RETRY_ON_RETRIABLE_HEADERS = 256;
export const RETRY_ON_ENVOY_RATELIMITED = 16384;
/** gRPC conditions. */
export const RETRY_ON_CANCELLED = 512;
export const RETRY_ON_DEADLINE_EXCEEDED = 1024;
export const RETRY_ON_INTERNAL = 2048;
export const RETRY_ON_RESOURCE_EXHAUSTED = 4096;
export const RETRY_ON_UNAVAILABLE = 8192;
