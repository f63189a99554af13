// The claims of the request at hand, and room for its head where a filter has changed it; read by TypeScript and by
// AssemblyScript. Like layout.ts: literals only, no import.

/** A request's head as filters have changed it: the embedder writes it, parseRequest reads it. */
export const EDITED_HEAD = 655360;
export const EDITED_HEAD_BYTES = 131072;
/** Room for a piece of its body, 64 KiB. */
export const EDITED_HEAD_BODY = 720896;

/**
 * Values of verified tokens (dynamic metadata of the request at hand): bytes of entries (see CLAIM_*). The embedder fills it
 * before it asks for decisions about a request and sets the length back to 0 afterwards: 0 = nothing is known.
 */
export const CLAIMS_LENGTH = 786432;
export const CLAIMS = 786440;
export const CLAIMS_BYTES = 65536;

/** An entry: length of its key and of its value, CLAIM_KIND, then the bytes of both; begins at a multiple of 4. */
export const CLAIM_KEY_LENGTH = 0;
export const CLAIM_VALUE_LENGTH = 4;
export const CLAIM_KIND = 8;
export const CLAIM_TEXT = 12;

/** Kinds are bits: a matcher says which it takes. A string; one of a list of strings; a number; true or false; anything else. */
export const CLAIM_STRING = 1;
export const CLAIM_ITEM = 2;
export const CLAIM_NUMBER = 4;
export const CLAIM_BOOL = 8;
export const CLAIM_OTHER = 16;

/** MATCHER_PSEUDO of a matcher whose name is the path of a claim; MATCHER_NAME_HASH has the kinds that it takes. */
export const PSEUDO_CLAIM = 5;
