// The memory and the constants of HTTP/2 heads (HPACK), read by TypeScript and by AssemblyScript. Like layout.ts: literals
// only, no import.

/** Tables that h2-tables.ts writes once (internal). */
export const H2_TABLES = 104857600;
/** The static table (RFC 7541, appendix A): H2_ENTRY_BYTES each; entry 0 is empty. */
export const H2_STATIC_ENTRIES = 104857600;
export const H2_STATIC_COUNT = 62;
export const H2_ENTRY_BYTES = 16;
/** Absolute offset of the line `name: value` CRLF. */
export const H2_ENTRY_LINE = 0;
export const H2_ENTRY_NAME_LENGTH = 4;
export const H2_ENTRY_VALUE_LENGTH = 8;
/** H2_FIELD_*. */
export const H2_ENTRY_FIELD = 12;
/** By the next twelve bits, i32: one or two symbols, bits that they take (<< 16), how many (<< 24); 0 = a longer code. */
export const H2_HUFFMAN_SHORT = 105402368;
/** By length of the code: first code, end of the codes (both at the top of 32 bits), index of the first symbol; i32 each. */
export const H2_HUFFMAN_LENGTHS = 104860672;
export const H2_HUFFMAN_LENGTH_BYTES = 16;
/** Symbols in the order of their codes, u16. */
export const H2_HUFFMAN_SYMBOLS = 104861184;
/** By symbol: code, length of the code; i32 each. */
export const H2_HUFFMAN_CODES = 104861760;
/** Names that the encoder knows, by hash: H2_NAME_BYTES each. */
export const H2_NAMES = 104863808;
export const H2_NAMES_COUNT = 128;
export const H2_NAME_BYTES = 16;
export const H2_NAME_HASH = 0;
export const H2_NAME_AT = 4;
export const H2_NAME_LENGTH = 8;
/** Index in the static table (0 = none) and H2_NAME_* bits. */
export const H2_NAME_RULE = 12;
export const H2_NAME_INDEX_MASK = 255;
export const H2_NAME_KNOWN = 256;
/** Means something for one connection alone: not written. */
export const H2_NAME_DROPPED = 512;
/** Must not be put into a table by anybody on the way (RFC 7541, 7.1.3). */
export const H2_NAME_NEVER_INDEXED = 1024;
export const H2_NAME_HOST = 2048;
export const H2_NAME_TE = 4096;
export const H2_NAME_CONTENT_TYPE = 16384;
/** Texts: lines of the static table and names. */
export const H2_TEXT_BYTES = 104865856;
export const H2_TEXT_BYTES_END = 104873984;

/** Fields while they are decoded (internal): bounded by H2_MAX_BLOCK_BYTES, of which each byte makes at most 1.6. */
export const H2_SCRATCH = 104873984;
export const H2_SCRATCH_BYTES = 196608;
/** Crumbs of the cookie (internal). */
export const H2_COOKIE_SCRATCH = 105070592;
export const H2_COOKIE_SCRATCH_BYTES = 65536;
/** Free for the embedder: a head in HTTP/1.1 form, and a header block or frames made of it. */
export const H2_HEAD_BUFFER = 105136128;
export const H2_HEAD_BUFFER_BYTES = 131072;
export const H2_BLOCK_BUFFER = 105267200;
export const H2_BLOCK_BUFFER_BYTES = 131072;

/** Decoders, one for each connection: see H2_DECODER_*. */
export const H2_DECODERS = 105906176;
export const H2_DECODER_BYTES = 8192;
export const H2_DECODER_COUNT = 4096;
// After them rbac/rbac-layout.ts.

/** Entries in the dynamic table. */
export const H2_DECODER_COUNT_NOW = 0;
/** Place in the index of the next entry. */
export const H2_DECODER_NEXT = 4;
/** Size of the entries as RFC 7541, 4.1 counts it, and the greatest that the peer has chosen. */
export const H2_DECODER_SIZE = 8;
export const H2_DECODER_MAX_SIZE = 12;
/** The greatest size that the peer may choose. */
export const H2_DECODER_LIMIT = 16;
/** 1 = the next block must begin with a change of size. */
export const H2_DECODER_MUST_UPDATE = 20;
/** Where the next line goes in H2_DECODER_LINES. */
export const H2_DECODER_CURSOR = 24;
/** Ring of entries of 8 bytes: place in H2_DECODER_LINES, length of the name, length of the value, H2_FIELD_*; u16 each. */
export const H2_DECODER_INDEX = 64;
export const H2_DECODER_INDEX_COUNT = 128;
export const H2_DECODER_LINES = 1088;
export const H2_DECODER_LINES_BYTES = 7088;

// ---- Fields ----------------------------------------------------------------------------------------------------------
/** What a field is, from its name. */
export const H2_FIELD_REGULAR = 0;
export const H2_FIELD_HOST = 1;
export const H2_FIELD_CONTENT_LENGTH = 2;
export const H2_FIELD_COOKIE = 3;
export const H2_FIELD_TE = 4;
/** Connection-specific: malformed (RFC 9113, 8.2.2). */
export const H2_FIELD_FORBIDDEN = 5;
export const H2_FIELD_PSEUDO = 16;
export const H2_FIELD_METHOD = 16;
export const H2_FIELD_SCHEME = 17;
export const H2_FIELD_AUTHORITY = 18;
export const H2_FIELD_PATH = 19;
export const H2_FIELD_PROTOCOL = 20;
export const H2_FIELD_STATUS = 21;
export const H2_FIELD_UNKNOWN_PSEUDO = 22;
/** Bits beside them: the name or the value is not what RFC 9113, 8.2.1 allows. */
export const H2_FIELD_BAD_NAME = 64;
export const H2_FIELD_BAD_VALUE = 128;

// ---- Kinds of h2DecodeHead and h2EncodeHead (bits) ---------------------------------------------------------------------
export const H2_REQUEST = 1;
export const H2_RESPONSE = 2;
/** Trailers, of a request or a response. */
export const H2_TRAILERS = 4;
/** The frame ends the stream. */
export const H2_END_STREAM = 8;
/** Decoding requests: SETTINGS_ENABLE_CONNECT_PROTOCOL was sent, so `:protocol` is allowed (RFC 8441). */
export const H2_ALLOW_PROTOCOL = 16;
/** Requests to encode with an upgrade line become an extended CONNECT; responses to that which are 2xx decode to 101. */
export const H2_UPGRADE = 32;
/** Encoding requests: `:scheme` is https. */
export const H2_HTTPS = 64;
/** Encoding: strings by the Huffman code where that is shorter. Costs both sides more CPU than plain ones. */
export const H2_HUFFMAN = 128;

// ---- Results of h2DecodeHead -------------------------------------------------------------------------------------------
/** The dynamic table cannot be followed any more: connection error COMPRESSION_ERROR. */
export const H2_ERROR_COMPRESSION = -1;
/** Stream error PROTOCOL_ERROR. */
export const H2_ERROR_MALFORMED = -2;
/** Stream: answer 431 (a request), or a stream error (a response, trailers). */
export const H2_ERROR_TOO_LARGE = -3;
/** More fields than anything but an attack has: connection error ENHANCE_YOUR_CALM. */
export const H2_ERROR_FLOOD = -4;

/** The greatest SETTINGS_HEADER_TABLE_SIZE. */
export const H2_MAX_TABLE_SIZE = 4096;
/** A header block, CONTINUATION joined, may have so many bytes; more is a connection error ENHANCE_YOUR_CALM. */
export const H2_MAX_BLOCK_BYTES = 65536;
/** A header block may have so many fields. */
export const H2_MAX_FIELDS = 1024;

/** Filled by h2DecodeHead for requests: H2_DECODED_* bits. */
export const H2_DECODED_FLAGS = 105398272;
export const H2_DECODED_HTTPS = 1;
/** An extended CONNECT: where parseRequest does not set REQUEST_UPGRADE, the stream must be refused. */
export const H2_DECODED_PROTOCOL = 2;
/** Filled by h2EncodeHead: how many bytes the head had with its empty line; a local reply's body follows there. */
export const H2_ENCODED_HEAD_LENGTH = 105398276;
