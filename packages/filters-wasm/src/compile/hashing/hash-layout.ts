// The formats of consistent hashing: what of a request is hashed, and a cluster's rings and Maglev tables. Like layout.ts:
// literals only, no import.

// ---- Small shared places (after PICK_TRIED) ------------------------------------------------------------------------------
/** 1: the next pick() goes by PICK_HASH, else by a random number. pick() sets it to 0. */
export const PICK_HASH_SET = 102464;
/** Cookies that the next downstream head sets: bit n for hash policy n of its route; set by the embedder before each head. */
export const SET_COOKIES = 102468;
/** u64. */
export const PICK_HASH = 102472;
/** Connection record whose CONNECTION_COOKIE the cookies of SET_COOKIES have as their value. */
export const SET_COOKIES_CONNECTION = 102480;
/** u64: the result of hash64(). */
export const HASH64_RESULT = 102488;

// ---- Hash policies of a route (in its policy record; offsets are relative to that) -----------------------------------------
/** Relative offset in a policy record of: count (i32), padding, then HASH_* records. 0 = none. */
export const POLICY_HASHES = 108;
export const HASHES_FIRST = 8;
/** HASH_OF_*. */
export const HASH_KIND = 0;
/** HASH_FLAG_* bits. */
export const HASH_FLAGS = 4;
/** Header (lower case), cookie or query parameter. */
export const HASH_NAME_OFFSET = 8;
export const HASH_NAME_LENGTH = 12;
/** Of a header's name. */
export const HASH_NAME_HASH = 16;
/** Cookies that are made: `set-cookie`, then what stands before and after the cookie's value. */
export const HASH_SET_COOKIE_OFFSET = 20;
export const HASH_SET_COOKIE_LENGTH = 24;
export const HASH_BEFORE_OFFSET = 28;
export const HASH_BEFORE_LENGTH = 32;
export const HASH_AFTER_OFFSET = 36;
export const HASH_AFTER_LENGTH = 40;
export const HASH_BYTES = 48;
/** Of one route: as many as hashRequest() has bits for cookies. */
export const MAX_HASHES = 30;

export const HASH_OF_HEADER = 0;
export const HASH_OF_COOKIE = 1;
export const HASH_OF_PARAMETER = 2;
export const HASH_OF_SOURCE_ADDRESS = 3;
/** HASH_OF_HEADER of :authority, :path or :method (HASH_NAME_HASH is PSEUDO_*). */
export const HASH_OF_PSEUDO_HEADER = 4;
/** Where this one gave a hash, those after it are not looked at. */
export const HASH_FLAG_TERMINAL = 1;
/** A cookie that is absent is made. */
export const HASH_FLAG_MAKE_COOKIE = 2;

// ---- Rings and Maglev tables of a cluster ------------------------------------------------------------------------------
/** In a cluster table: relative offset of one CHOICES_* record for each priority; 0 = none. */
export const CLUSTER_CHOICES_BY_HASH = 44;
/** Ring: relative offset of ascending u64 hashes; 0 = a Maglev table. */
export const CHOICES_HASHES = 0;
/** Relative offset of endpoint slots, u16 each. */
export const CHOICES_SLOTS = 4;
export const CHOICES_COUNT = 8;
export const CHOICES_BYTES = 16;

export const LB_RING_HASH = 4;
export const LB_MAGLEV = 5;
