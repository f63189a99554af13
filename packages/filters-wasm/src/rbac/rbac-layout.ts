// Access rules (envoy.config.rbac.v3) as bytes: an index that finds the rows that a request may match, read by TypeScript and by
// AssemblyScript. Like layout.ts: literals only, no import. Offsets in a record are relative to its start.

/** What a check works on: bitmaps of rows, and for each test whether it was made. */
export const RBAC_SCRATCH = 141557760;
export const RBAC_SCRATCH_BYTES = 524288;
/** Rows that may still match; those that the group at hand leaves; those that something excludes. */
export const RBAC_CANDIDATES = 141557760;
export const RBAC_GROUP_ROWS = 141565952;
export const RBAC_EXCLUDED = 141574144;
/** A key that is looked up: octets of an address, a port. */
export const RBAC_KEY = 141582336;
/** The client's address as a trusted proxy says it, in the form of PEER_REMOTE_FAMILY and PEER_REMOTE. */
export const RBAC_REMOTE = 141582368;
/** For each test twice the number of the check that made it last, and 1 more where it held. */
export const RBAC_TESTED = 141582400;
/** Compiled rules; their pages cost nothing while there are none. */
export const RBAC_REGION = 142082048;
export const RBAC_REGION_BYTES = 33554432;

/** Rules may have so many rows (a bitmap has 8 KiB), and so many tests that are made one by one. */
export const RBAC_MAX_ROWS = 65536;
export const RBAC_MAX_TESTS = 65536;

/** A record begins with a number that no other record ever had: who asks for rules that are gone is told so. */
export const RULES_SERIAL = 0;
export const RULES_ROW_COUNT = 4;
/** Bytes of a bitmap of rows, a multiple of 16. */
export const RULES_BITMAP_BYTES = 8;
/** Bitmap with all rows. */
export const RULES_ALL = 12;
export const RULES_GROUPS = 16;
export const RULES_GROUP_COUNT = 20;
/** RULE_ROW records. */
export const RULES_ROWS = 24;
/** 1 = some row is excluded by a test. */
export const RULES_EXCLUDE = 28;
/** Bits OWN_*: of which headers that the proxy writes by itself some rule asks in the index. */
export const RULES_OWN_HEADERS = 32;
export const RULES_BYTES = 48;
export const OWN_FORWARDED_FOR = 1;
export const OWN_CLIENT_CERT = 2;
export const OWN_REQUEST_ID = 4;
export const OWN_FORWARDED_PROTO = 8;
export const OWN_FORWARDED_PORT = 16;
export const OWN_LAST = 16;

/** A way to match a policy: the policy's place, the condition that is left when the index has found it (0 = none). */
export const ROW_POLICY = 0;
export const ROW_CONDITION = 4;
export const ROW_BYTES = 8;

/** What tests look at. A group of the index is one of these. */
export const SUBJECT_PATH = 1;
export const SUBJECT_METHOD = 2;
export const SUBJECT_AUTHORITY = 3;
/** The path with its query. */
export const SUBJECT_URL = 4;
export const SUBJECT_SCHEME = 5;
export const SUBJECT_HEADER = 6;
/** Names of the client's certificate. */
export const SUBJECT_NAME = 7;
/** There whenever the connection is TLS; an empty text. */
export const SUBJECT_TLS = 8;
export const SUBJECT_SERVER_NAME = 9;
export const SUBJECT_DIRECT_ADDRESS = 10;
export const SUBJECT_REMOTE_ADDRESS = 11;
export const SUBJECT_LOCAL_ADDRESS = 12;
export const SUBJECT_LOCAL_PORT = 13;
export const SUBJECT_CLAIM = 14;
/** The URI of the client's certificate. */
export const SUBJECT_PRINCIPAL = 15;
/** Of a name that is a SPIFFE id, what follows the trust domain. */
export const SUBJECT_SPIFFE_PATH = 16;

/** SUBJECT_*; the rows that ask nothing of it (bitmap; 0 = no row asks anything of it, some are excluded by it). */
export const GROUP_SUBJECT = 0;
export const GROUP_UNASKED = 4;
/** Names (headers, paths of claims) by hash: slots less one, NAME records; for other subjects one record. */
export const GROUP_NAME_MASK = 8;
export const GROUP_NAMES = 12;
export const GROUP_BYTES = 16;

/** A name: hash, text in lower case, length, CLAIM_* bits (0: a header), index of its values (0 = a free slot). */
export const NAME_HASH = 0;
export const NAME_TEXT = 4;
export const NAME_LENGTH = 8;
export const NAME_KINDS = 12;
export const NAME_INDEX = 16;
export const NAME_BYTES = 24;

/** An index of values. Exact values, beginnings and ends by hash: slots less one, VALUE records. */
export const INDEX_MASK = 0;
export const INDEX_SLOTS = 4;
/** Lengths of beginnings and of ends, ascending: i32. Of networks: family and bits, i32 each. */
export const INDEX_PREFIX_LENGTHS = 8;
export const INDEX_PREFIX_LENGTH_COUNT = 12;
export const INDEX_SUFFIX_LENGTHS = 16;
export const INDEX_SUFFIX_LENGTH_COUNT = 20;
/** Tests that are made one by one: OTHER records. */
export const INDEX_OTHERS = 24;
export const INDEX_OTHER_COUNT = 28;
/** What every value does; 0 = nothing. */
export const INDEX_ANY = 32;
/** 1 = there are exact values. */
export const INDEX_HAS_EXACT = 36;
export const INDEX_BYTES = 40;
/** So many lengths; each of them costs a lookup. Those of rarer lengths are among the others. */
export const INDEX_MAX_LENGTHS = 48;

/** VALUE_KIND_*, plus VALUE_IGNORE_CASE; hash of the bytes, place, length; what it does (EFFECT, 0 = a free slot). */
export const VALUE_KIND = 0;
export const VALUE_HASH = 4;
export const VALUE_TEXT = 8;
export const VALUE_LENGTH = 12;
export const VALUE_EFFECT = 16;
export const VALUE_BYTES = 24;
export const VALUE_EXACT = 1;
export const VALUE_PREFIX = 2;
export const VALUE_SUFFIX = 3;
export const VALUE_NETWORK = 4;
export const VALUE_KIND_MASK = 7;
export const VALUE_IGNORE_CASE = 8;

/** A test and its effect. */
export const OTHER_TEST = 0;
export const OTHER_EFFECT = 4;
export const OTHER_BYTES = 8;

/** Rows that a value satisfies, and rows that it excludes: count and list of i32; count -1: a bitmap. */
export const EFFECT_COUNT = 0;
export const EFFECT_ROWS = 4;
export const EFFECT_EXCLUDED_COUNT = 8;
export const EFFECT_EXCLUDED = 12;
export const EFFECT_BYTES = 16;

/** A test: SUBJECT_*, its number, a matcher (MATCHER_*). */
export const TEST_SUBJECT = 0;
export const TEST_NUMBER = 4;
export const TEST_MATCHER = 8;
/** Of addresses: family (4 or 6), bits, sixteen octets; of ports: first, end. */
export const TEST_FAMILY = 12;
export const TEST_BITS = 16;
export const TEST_FIRST_PORT = 12;
export const TEST_END_PORT = 16;
export const TEST_OCTETS = 24;
export const TEST_BYTES = 40;

/** A condition: CONDITION_*; the test, or the number of parts; then the parts (of CONDITION_NOT: one). */
export const CONDITION_KIND = 0;
export const CONDITION_COUNT = 4;
export const CONDITION_PARTS = 8;
export const CONDITION_TEST = 1;
export const CONDITION_ALL = 2;
export const CONDITION_ANY = 3;
export const CONDITION_NOT = 4;

/** What a connection record has for access rules (at CONNECTION_PEER): addresses (family 0 = unknown), port (-1 = unknown). */
export const PEER_REMOTE_FAMILY = 0;
export const PEER_LOCAL_FAMILY = 4;
export const PEER_REMOTE = 8;
export const PEER_LOCAL = 24;
export const PEER_LOCAL_PORT = 40;
/** Places, lengths and counts: the server's name; the names of the client's certificate, each as length and bytes. */
export const PEER_SERVER_NAME = 44;
export const PEER_SERVER_NAME_LENGTH = 48;
export const PEER_NAMES = 52;
export const PEER_NAME_COUNT = 56;
export const PEER_BYTES = 64;

/** Results of checkRules besides the place of a policy: no policy matches; the rules are gone. */
export const RBAC_NO_MATCH = -1;
export const RBAC_RULES_GONE = -2;
