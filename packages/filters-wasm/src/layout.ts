// The memory map of the data plane core: every region, struct and field, compiled by TypeScript and by AssemblyScript.
// Only literals and sums of earlier constants are allowed here, and no import, so that both compilers read it alike.
// Offsets are bytes. From TypeScript a 32-bit field F is `i32[F >> 2]`, a float field `f64[F >> 3]`.

// ---- Regions -------------------------------------------------------------------------------------------------------
export const MIB = 1048576;
/** Pages of 64 KiB; the memory is created with this size and never grows. Pages never touched cost nothing. */
export const MEMORY_PAGES = 5240;
export const MEMORY_BYTES = 343408640;

/** Constant tables of the AssemblyScript module (its data segments start at 1 KiB). */
export const STATIC_REGION = 0;
/** Fixed structs below: one request, one response, one route result at a time. */
export const STRUCT_REGION = 65536;
/** Room before the read buffer: a stashed partial head is copied to READ_BUFFER - stash length. */
export const READ_HEADROOM = 131072;
/** All sockets read here; 64 KiB. Bytes are valid until the read callback returns. */
export const READ_BUFFER = 196608;
export const READ_BUFFER_BYTES = 65536;
/** After the read buffer: scratch for SIMD over-reads and for the normalized path, joined header values, rewritten paths. */
export const PATH_SCRATCH = 262144;
export const PATH_SCRATCH_BYTES = 65536;
export const VALUE_SCRATCH = 327680;
export const VALUE_SCRATCH_BYTES = 131072;
/** Free for the embedder (local reply bodies, access to bytes that came from outside the memory). */
export const EMBEDDER_SCRATCH = 458752;
export const EMBEDDER_SCRATCH_BYTES = 65536;
/** For each list of candidates of a search among routes the address of its next place and of its end. */
export const ROUTE_CANDIDATES = 524288;
export const ROUTE_CANDIDATES_BYTES = 1024;
/** Header lines that the next head to a client ends with: length, 1 = one of them is its content-type, the lines. */
export const HEAD_LINES_LENGTH = 589824;
export const HEAD_LINES_TYPED = 589828;
export const HEAD_LINES = 589832;
export const HEAD_LINES_MAX_BYTES = 16384;
/** Output ring; its policy belongs to the embedder. */
export const OUTPUT_RING = 1048576;
export const OUTPUT_RING_BYTES = 2097152;
/** Slots for heads kept for a retry or for a partial head. */
export const HEAD_SLOTS = 3145728;
export const HEAD_SLOT_BYTES = 4096;
export const HEAD_SLOT_COUNT = 2560;
/** Chunk scanner states, 32 bytes each (see CHUNK_*). */
export const CHUNK_STATES = 13631488;
export const CHUNK_STATE_BYTES = 32;
export const CHUNK_STATE_COUNT = 32768;
/** Immutable records that outlive tables: listener options, route policies, header mutations. */
export const STABLE_REGION = 14680064;
export const STABLE_REGION_BYTES = 2097152;
/** Two arenas for tables; the inactive one is written, then they swap. What is never written costs no memory. */
export const TABLE_ARENA_A = 175636480;
export const TABLE_ARENA_B = 225968128;
export const TABLE_ARENA_BYTES = 50331648;
/** Where route configuration slot n's table is: i32 each, 0 = absent. */
export const ROUTE_CONFIG_SLOTS = 50331648;
export const ROUTE_CONFIG_SLOT_COUNT = 4096;
/** Cluster state by slot (see CLUSTER_STATE_*). */
export const CLUSTER_STATES = 50397184;
export const CLUSTER_STATE_BYTES = 64;
export const CLUSTER_SLOT_COUNT = 8192;
/** Endpoint state by slot (see ENDPOINT_STATE_*). */
export const ENDPOINT_STATES = 51380224;
export const ENDPOINT_STATE_BYTES = 32;
export const ENDPOINT_SLOT_COUNT = 65536;
/** Interned peer metadata: hash table, entries, bytes. */
export const PEER_INDEX = 53477376;
export const PEER_INDEX_COUNT = 8192;
export const PEER_ENTRIES = 53542912;
export const PEER_ENTRY_BYTES = 16;
export const PEER_COUNT = 4096;
export const PEER_BYTES_REGION = 53608448;
export const PEER_BYTES_REGION_BYTES = 4128768;
/** Metric series (see SERIES_*): hash table, then the series. */
export const SERIES_INDEX = 57737216;
export const SERIES_INDEX_COUNT = 32768;
export const SERIES_REGION = 57868288;
export const SERIES_BYTES = 320;
export const SERIES_COUNT = 16384;
/** Connection records (see CONNECTION_*): room for a mesh certificate's XFCC element; taken from the front, so few pages are touched. */
export const CONNECTION_RECORDS = 67108864;
export const CONNECTION_RECORD_BYTES = 512;
export const CONNECTION_RECORD_COUNT = 32768;
/** Records for the longest elements: with a chain of certificates. */
export const LONGEST_CONNECTION_RECORDS = 83886080;
export const LONGEST_CONNECTION_RECORD_BYTES = 16384;
export const LONGEST_CONNECTION_RECORD_COUNT = 1024;
/** Records for longer elements, behind the arenas: with a certificate, names of the greatest length twice, a long subject. */
export const LONG_CONNECTION_RECORDS = 276299776;
export const LONG_CONNECTION_RECORD_BYTES = 4096;
export const LONG_CONNECTION_RECORD_COUNT = 16384;
// After them: regex-layout.ts, filter-layout.ts, h2-layout.ts, rbac/rbac-layout.ts, the arenas, and long connection records up to MEMORY_BYTES.

// ---- Limits --------------------------------------------------------------------------------------------------------
/** A head (request line and headers) may have so many bytes; more is 431. */
export const MAX_HEAD_BYTES = 61440;
/** A head may have so many header lines; more is 431. */
export const MAX_HEADERS = 100;
/** Room in a header table, parsed lines and those that mutations add. */
export const HEADER_TABLE_COUNT = 256;
/** Mutations that may apply to one request or response, from all levels of the configuration together. */
export const MAX_MUTATIONS = 128;
/** A configured rewrite (path, host, location) may have so many bytes. */
export const MAX_REWRITE_BYTES = 16384;
/** A longer peer metadata value is not interned. */
export const MAX_PEER_BYTES = 8192;
/** Extensions and trailers of one chunked message may have so many bytes each. */
export const MAX_CHUNK_EXTENSION_BYTES = 16384;
export const MAX_TRAILER_BYTES = 16384;

// ---- Request (one at a time; parseRequest fills it) ------------------------------------------------------------------
export const REQ = 65536;
export const REQ_HEAD_OFFSET = 65536;
export const REQ_HEAD_LENGTH = 65540;
/** REQUEST_* bits. */
export const REQ_FLAGS = 65544;
/** METHOD_*; METHOD_OTHER for the rest. */
export const REQ_METHOD = 65548;
export const REQ_METHOD_OFFSET = 65552;
export const REQ_METHOD_LENGTH = 65556;
/** Path with query, normalized, without fragment: what is matched and forwarded. In the head or in PATH_SCRATCH. */
export const REQ_PATH_OFFSET = 65560;
export const REQ_PATH_LENGTH = 65564;
/** Length of the path before `?`. */
export const REQ_PATH_ONLY_LENGTH = 65568;
export const REQ_AUTHORITY_OFFSET = 65572;
export const REQ_AUTHORITY_LENGTH = 65576;
export const REQ_HEADER_COUNT = 65580;
/** BODY_*. */
export const REQ_BODY = 65584;
/** 0 or 1: HTTP/1.0 or HTTP/1.1. */
export const REQ_MINOR_VERSION = 65588;
/** float; content length of the body, valid where REQ_BODY is BODY_LENGTH (an absent body counts as 0). */
export const REQ_CONTENT_LENGTH = 65592;
/** Values of x-envoy-peer-metadata-id and x-envoy-peer-metadata; length 0 where absent. */
export const REQ_PEER_ID_OFFSET = 65600;
export const REQ_PEER_ID_LENGTH = 65604;
export const REQ_PEER_METADATA_OFFSET = 65608;
export const REQ_PEER_METADATA_LENGTH = 65612;
/** Value of x-request-id: the client's after parseRequest (length 0 where absent), the final one after writeUpstreamHead. */
export const REQ_REQUEST_ID_OFFSET = 65616;
export const REQ_REQUEST_ID_LENGTH = 65620;
/** The target as it came. */
export const REQ_TARGET_OFFSET = 65624;
export const REQ_TARGET_LENGTH = 65628;
/** PARSE_ERROR_* of the last refused head (request or response). */
export const PARSE_ERROR = 65632;
/** Length of the request line with its CRLF (internal). */
export const REQ_LINE_LENGTH = 65636;
/** float; what grpc-timeout says in ms (rounded up), -1 where it says nothing or the request is not gRPC. */
export const REQ_GRPC_TIMEOUT_MS = 65640;
/** Header entries, HEADER_ENTRY_BYTES each, REQ_HEADER_COUNT of them. */
export const REQ_HEADERS = 66048;

export const REQUEST_KEEP_ALIVE = 1;
export const REQUEST_EXPECT_CONTINUE = 2;
/** A `Connection: upgrade` with an Upgrade that the listener allows; it is forwarded. */
export const REQUEST_UPGRADE = 4;
export const REQUEST_CONNECT = 8;
/** The target was absolute-form; its authority is the request's. */
export const REQUEST_ABSOLUTE_FORM = 16;
/** The path differs from the target's bytes. */
export const REQUEST_PATH_CHANGED = 32;
/** Absolute-form with https. */
export const REQUEST_TARGET_HTTPS = 64;
/** The content-type is gRPC's. */
export const REQUEST_GRPC = 128;

export const METHOD_OTHER = 0;
export const METHOD_GET = 1;
export const METHOD_HEAD = 2;
export const METHOD_POST = 3;
export const METHOD_PUT = 4;
export const METHOD_DELETE = 5;
export const METHOD_OPTIONS = 6;
export const METHOD_PATCH = 7;
export const METHOD_CONNECT = 8;
export const METHOD_TRACE = 9;

export const BODY_NONE = 0;
export const BODY_LENGTH = 1;
export const BODY_CHUNKED = 2;
/** Responses only: the body ends where the connection does. */
export const BODY_UNTIL_CLOSE = 3;

/** One header line. The name starts at LINE_OFFSET. */
export const HEADER_ENTRY_BYTES = 32;
export const HEADER_LINE_OFFSET = 0;
/** With its CRLF; 0 where the line is not copied but written from name and value: added, or spelled in a way that is not passed on. */
export const HEADER_LINE_LENGTH = 4;
export const HEADER_NAME_LENGTH = 8;
export const HEADER_VALUE_OFFSET = 12;
export const HEADER_VALUE_LENGTH = 16;
/** KNOWN_* or 0. */
export const HEADER_KNOWN = 20;
export const HEADER_HASH = 24;
/** HEADER_FLAG_* bits. */
export const HEADER_FLAGS = 28;
/** Never crosses and is not matched: hop-by-hop, or removed at the edge. */
export const HEADER_FLAG_DROPPED = 1;
/** Replaced while the head is written; the matchers saw it. */
export const HEADER_FLAG_REPLACED = 2;

// ---- Response (one at a time; parseResponse fills it) ----------------------------------------------------------------
export const RESP = 81920;
export const RESP_HEAD_OFFSET = 81920;
export const RESP_HEAD_LENGTH = 81924;
/** RESPONSE_* bits. */
export const RESP_FLAGS = 81928;
export const RESP_STATUS = 81932;
export const RESP_HEADER_COUNT = 81936;
/** BODY_*. */
export const RESP_BODY = 81940;
export const RESP_MINOR_VERSION = 81944;
export const RESP_LINE_LENGTH = 81948;
/** float; valid where RESP_BODY is BODY_LENGTH. */
export const RESP_CONTENT_LENGTH = 81952;
export const RESP_PEER_ID_OFFSET = 81960;
export const RESP_PEER_ID_LENGTH = 81964;
export const RESP_PEER_METADATA_OFFSET = 81968;
export const RESP_PEER_METADATA_LENGTH = 81972;
/** grpc-status: of a head (parseResponse), of trailers (h2DecodeHead), of a local answer to gRPC; -1 where absent. */
export const RESP_GRPC_STATUS = 81976;
export const RESP_HEADERS = 82432;

/** The upstream connection may be used again once the body has ended. */
export const RESPONSE_KEEP_ALIVE = 1;
/** 1xx other than 101: not the answer; skip the head and parse on. */
export const RESPONSE_INFORMATIONAL = 2;
/** 101 to a request that asked for it: bytes flow both ways from here. */
export const RESPONSE_UPGRADE = 4;
/** There is no body, and nothing in the head says so: an HTTP/1.1 client gets a content-length. */
export const RESPONSE_NO_LENGTH = 8;

/** What parseResponse is told (bits): the request carried an upgrade; the head was all of the answer (HTTP/2 END_STREAM). */
export const RESPONSE_TO_UPGRADE = 1;
export const RESPONSE_TO_ENDED = 2;

// ---- Route result (one at a time; route fills it) --------------------------------------------------------------------
export const ROUTE = 98304;
/** ROUTE_ACTION_*. */
export const ROUTE_ACTION = 98304;
/** Cluster slot; valid for ROUTE_ACTION_FORWARD. */
export const ROUTE_CLUSTER = 98308;
/** Offset of the policy record (POLICY_*), which outlives the tables; 0 where there is no route. */
export const ROUTE_POLICY = 98312;
/** Absolute offset in the table of the matched route, virtual host and configuration. Valid until the tables change. */
export const ROUTE_TABLE = 98316;
export const ROUTE_VIRTUAL_HOST_TABLE = 98320;
export const ROUTE_CONFIG_TABLE = 98324;
/** The random number that chose the weighted cluster; give it to route() again for the same choice. */
export const ROUTE_RANDOM = 98328;
/** Table generation; writeUpstreamHead refuses a result of an older one. */
export const ROUTE_GENERATION = 98332;
/** Direct response or redirect: status, and the body's place (in the table: use it at once). */
export const ROUTE_STATUS = 98336;
export const ROUTE_BODY_OFFSET = 98340;
export const ROUTE_BODY_LENGTH = 98344;
/** Redirect: the location value, in VALUE_SCRATCH. */
export const ROUTE_LOCATION_OFFSET = 98348;
export const ROUTE_LOCATION_LENGTH = 98352;
/** Request mutations of the chosen weighted cluster (internal). */
export const ROUTE_WEIGHTED_TABLE = 98356;
/** Name of the route, for the access log (in the table: use it at once). */
export const ROUTE_NAME_OFFSET = 98360;
export const ROUTE_NAME_LENGTH = 98364;
/** How much of the path the route's matcher took (internal). */
export const ROUTE_MATCHED_PREFIX_LENGTH = 98368;

/** Filled by writeUpstreamHead: time limits of the request and of its stream in ms, 0 = none; the policy's or grpc-timeout's. */
export const ROUTE_TIMEOUT_MS = 98416;
export const ROUTE_STREAM_MS = 98420;

export const ROUTE_ACTION_NONE = 0;
export const ROUTE_ACTION_FORWARD = 1;
export const ROUTE_ACTION_DIRECT = 2;
export const ROUTE_ACTION_REDIRECT = 3;

// ---- Small shared places ---------------------------------------------------------------------------------------------
/** Endpoint slots tried before, i32 each, for pick(). */
export const PICK_TRIED = 102400;
export const PICK_TRIED_MAX = 16;
/** The `date` value, 29 bytes, kept current by the embedder (core.setDate). */
export const DATE_TEXT = 102528;
export const DATE_TEXT_LENGTH = 29;
/** Known header names by hash, texts and status reasons; written once by core-texts.ts (internal). */
export const KNOWN_HEADERS = 106496;
export const KNOWN_HEADERS_COUNT = 128;
export const TEXT_TABLE = 108544;
export const STATUS_TEXTS = 109568;
export const TEXT_BYTES = 111616;
export const TEXT_BYTES_END = 131072;

// ---- Listener options record (in STABLE_REGION, immutable; made by internListenerOptions) ------------------------------
/** LISTENER_* bits. */
export const LISTENER_FLAGS = 0;
export const LISTENER_SERVER_OFFSET = 4;
export const LISTENER_SERVER_LENGTH = 8;
/** Whole header lines added to every request / response (peer metadata). Relative to the record. */
export const LISTENER_REQUEST_LINES_OFFSET = 12;
export const LISTENER_REQUEST_LINES_LENGTH = 16;
export const LISTENER_RESPONSE_LINES_OFFSET = 20;
export const LISTENER_RESPONSE_LINES_LENGTH = 24;
export const LISTENER_TRUSTED_HOPS = 28;
/** FORWARD_CLIENT_CERT_*. */
export const LISTENER_FORWARD_CLIENT_CERT = 32;
/** Rate limits: relative offset of FILTER_ENTRY, count. */
export const LISTENER_LIMITS = 36;
export const LISTENER_LIMIT_COUNT = 40;
/** Number of the filter that injects faults (0 = none), and relative offset of its own fault (0 = none). */
export const LISTENER_FAULT_FILTER = 44;
export const LISTENER_FAULT = 48;
/** Number of the filter that shares answers with other origins (0 = none). */
export const LISTENER_CORS_FILTER = 52;
/** Quota filters: offset of a list of offsets, count. */
export const LISTENER_QUOTAS = 56;
export const LISTENER_QUOTA_COUNT = 60;
/** Filters that ask a service: relative offset of ASK_* records, count. */
export const LISTENER_ASKS = 64;
export const LISTENER_ASK_COUNT = 68;
export const LISTENER_BYTES = 72;

export const LISTENER_NORMALIZE_PATH = 1;
export const LISTENER_MERGE_SLASHES = 2;
export const LISTENER_UNESCAPE_SLASHES = 4;
export const LISTENER_REJECT_ESCAPED_SLASHES = 8;
/** Requests come from outside the mesh: x-envoy-* and identity headers are removed before the decision. */
export const LISTENER_EDGE = 16;
/** Append the client's address to x-forwarded-for and say the scheme in x-forwarded-proto. */
export const LISTENER_USE_REMOTE_ADDRESS = 32;
export const LISTENER_SKIP_XFF_APPEND = 64;
export const LISTENER_GENERATE_REQUEST_ID = 128;
export const LISTENER_PRESERVE_EXTERNAL_REQUEST_ID = 256;
export const LISTENER_SERVER_OVERWRITE = 1024;
export const LISTENER_SERVER_IF_ABSENT = 2048;
export const LISTENER_ALLOW_WEBSOCKET = 4096;
/** Write x-envoy-upstream-service-time. */
export const LISTENER_SERVICE_TIME = 8192;
/** x-envoy-peer-metadata(-id) of requests are read and not forwarded. */
export const LISTENER_PEER_FROM_REQUEST = 16384;
/** x-envoy-peer-metadata(-id) of responses are read and not forwarded. */
export const LISTENER_PEER_FROM_RESPONSE = 32768;
/** Requests say at which port their client has connected. */
export const LISTENER_FORWARDED_PORT = 131072;
export const LISTENER_ACCEPT_HTTP_10 = 65536;

export const FORWARD_CLIENT_CERT_SANITIZE = 0;
export const FORWARD_CLIENT_CERT_FORWARD_ONLY = 1;
export const FORWARD_CLIENT_CERT_APPEND_FORWARD = 2;
export const FORWARD_CLIENT_CERT_SANITIZE_SET = 3;
export const FORWARD_CLIENT_CERT_ALWAYS_FORWARD_ONLY = 4;

// ---- Connection record (in CONNECTION_RECORDS or those for longer ones; made by connections.create) ---------------------------------------------
/** CONNECTION_* bits. */
export const CONNECTION_FLAGS = 0;
/** Text of the client's address without port: length; the bytes follow the record. */
export const CONNECTION_ADDRESS_LENGTH = 4;
/** x-forwarded-client-cert element of this connection's client certificate; length 0 = none. Absolute offset. */
export const CONNECTION_XFCC_OFFSET = 8;
export const CONNECTION_XFCC_LENGTH = 12;
/** u64: what cookies made for this connection say; 0 = none was made. */
export const CONNECTION_COOKIE = 16;
/** The URI of the verified client certificate; length 0 = none. Absolute offset. */
export const CONNECTION_PRINCIPAL_OFFSET = 24;
export const CONNECTION_PRINCIPAL_LENGTH = 28;
/** PEER_* of the connection, for access rules; 0 = nobody asked for it. Absolute offset. */
export const CONNECTION_PEER = 32;
/** The port at which the client has connected, for x-forwarded-port; 0 = nobody asked for it. */
export const CONNECTION_LOCAL_PORT = 36;
export const CONNECTION_ADDRESS = 40;
export const CONNECTION_TLS = 1;
export const CONNECTION_MUTUAL_TLS = 2;

// ---- Chunk scanner state ---------------------------------------------------------------------------------------------
/** CHUNK_PHASE_*; CHUNK_PHASE_DONE once the message has ended. */
export const CHUNK_PHASE = 0;
/** Of the bytes last scanned: how many, from the start, are to be forwarded (framing compacted in place). */
export const CHUNK_FORWARD = 4;
/** float; data bytes still to come of this chunk. */
export const CHUNK_REMAINING = 8;
export const CHUNK_EXTENSION_BYTES = 16;
export const CHUNK_TRAILER_BYTES = 20;
/** CHUNK_MODE_*. */
export const CHUNK_MODE = 24;
export const CHUNK_SIZE_DIGITS = 28;
/** Forward with chunked framing; extensions and trailers are dropped, as Envoy does by default. */
export const CHUNK_MODE_FRAMED = 0;
/** Forward the data alone (to an HTTP/1.0 client). */
export const CHUNK_MODE_DATA = 1;
export const CHUNK_PHASE_SIZE = 0;
export const CHUNK_PHASE_EXTENSION = 1;
export const CHUNK_PHASE_SIZE_LF = 2;
export const CHUNK_PHASE_DATA = 3;
export const CHUNK_PHASE_DATA_CR = 4;
export const CHUNK_PHASE_DATA_LF = 5;
export const CHUNK_PHASE_TRAILER_START = 6;
export const CHUNK_PHASE_TRAILER_NAME = 7;
export const CHUNK_PHASE_TRAILER_VALUE = 8;
export const CHUNK_PHASE_TRAILER_LF = 9;
export const CHUNK_PHASE_END_LF = 10;
export const CHUNK_PHASE_DONE = 11;
