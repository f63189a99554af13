// The formats of rate limits that a service decides about: what routes say of them, and the descriptors of a request.
// Like layout.ts: literals only, no import. Records are immutable, in STABLE_REGION; offsets are relative to them.

/** A filter, in a list of its listener: numbers under which routes configure it, and under which they have their actions. */
export const ASK_FILTER = 0;
export const ASK_ACTIONS = 4;
/** Actions of other stages are not its business. */
export const ASK_STAGE = 8;
/** ASK_ANY or whose requests it is for. */
export const ASK_REQUEST_TYPE = 12;
/** A policy record with the response mutations of the refusal: relative to the listener's record, 0 = none. */
export const ASK_REPLY = 16;
export const ASK_BYTES = 24;
export const ASK_ANY = 0;
export const ASK_INTERNAL = 1;
export const ASK_EXTERNAL = 2;
/** A chain may have so many. */
export const MAX_ASKING_FILTERS = 12;

/** What a route or virtual host configures of a filter: HOST_ACTIONS_*, its domain (length 0 = the filter's). */
export const ASK_ROUTE_HOST_ACTIONS = 0;
export const ASK_ROUTE_DOMAIN = 4;
export const ASK_ROUTE_DOMAIN_LENGTH = 8;
export const ASK_ROUTE_BYTES = 16;
/** Whether the actions of the virtual host count: where the route has none, besides its own, never. */
export const HOST_ACTIONS_UNLESS_OWN = 0;
export const HOST_ACTIONS_TOO = 1;
export const HOST_ACTIONS_NEVER = 2;

/** The rate limits of a route or virtual host: 1 = with those of the virtual host; DESCRIBED_* records: offset, count. */
export const ACTIONS_WITH_HOST = 0;
export const ACTIONS_LIMITS = 4;
export const ACTIONS_LIMIT_COUNT = 8;
export const ACTIONS_BYTES = 16;
/** One of them: its stage, ACTION_* records: offset, count. */
export const DESCRIBED_STAGE = 0;
export const DESCRIBED_ACTIONS = 4;
export const DESCRIBED_ACTION_COUNT = 8;
export const DESCRIBED_BYTES = 16;
/** What describeLimits writes has room for so many. */
export const MAX_DESCRIBED = 32;
export const MAX_ACTIONS = 16;

/** An entry of a descriptor: what it is made of, its key. */
export const ACTION_KIND = 0;
export const ACTION_KEY = 4;
export const ACTION_KEY_LENGTH = 8;
/** The value, or the name of a header in lower case with its hash and PSEUDO_*; of an address: bits of its networks, IPv4 and IPv6. */
export const ACTION_VALUE = 12;
export const ACTION_VALUE_LENGTH = 16;
export const ACTION_HASH = 20;
export const ACTION_PSEUDO = 24;
/** Of a header: 1 = without it the entry is left out, else the whole descriptor. Of matchers: 1 = they must agree, 0 = they must not. */
export const ACTION_FLAG = 28;
/** MATCHER_* records: offset, count. */
export const ACTION_MATCHERS = 32;
export const ACTION_MATCHER_COUNT = 36;
export const ACTION_BYTES = 40;

export const ACTION_TEXT = 0;
export const ACTION_HEADER = 1;
export const ACTION_ADDRESS = 2;
export const ACTION_NETWORK = 3;
export const ACTION_CLUSTER = 4;
export const ACTION_SOURCE = 5;
export const ACTION_HEADER_MATCH = 6;
export const ACTION_QUERY_MATCH = 7;
/** The descriptor is never made. */
export const ACTION_NEVER = 8;

/** Filled by describeLimits, until anything else is done: the domain (length 0 = the filter's); then each descriptor. */
export const DESCRIPTORS_DOMAIN = 458752;
export const DESCRIPTORS_DOMAIN_LENGTH = 458756;
export const DESCRIPTORS = 458760;
/** A descriptor: how many entries, the place of its rate limit in the list that has it, the entries. */
export const DESCRIPTOR_ENTRY_COUNT = 0;
export const DESCRIPTOR_LIMIT = 4;
export const DESCRIPTOR_ENTRIES = 8;
/** Kind, key, value (places and lengths). */
export const ENTRY_KIND = 0;
export const ENTRY_KEY = 4;
export const ENTRY_KEY_LENGTH = 8;
export const ENTRY_VALUE = 12;
export const ENTRY_VALUE_LENGTH = 16;
/** Bits of the network: of IPv4, and of IPv6 above them (8 bits). */
export const ENTRY_BITS = 20;
export const ENTRY_BYTES = 24;
export const ENTRY_TEXT = 0;
/** The value is an address, whose network is meant. */
export const ENTRY_NETWORK = 1;
/** The name of the cluster that the request goes to; of the proxy's own. */
export const ENTRY_CLUSTER = 2;
export const ENTRY_SOURCE = 3;
