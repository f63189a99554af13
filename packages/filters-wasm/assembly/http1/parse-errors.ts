// What a parser found wrong with a head or a body (PARSE_ERROR), for response details and logs.

export const PARSE_ERROR_NONE = 0;
export const PARSE_ERROR_REQUEST_LINE = 1;
export const PARSE_ERROR_METHOD = 2;
export const PARSE_ERROR_TARGET = 3;
export const PARSE_ERROR_VERSION = 4;
export const PARSE_ERROR_HEADER_NAME = 5;
export const PARSE_ERROR_HEADER_VALUE = 6;
export const PARSE_ERROR_LINE_END = 7;
export const PARSE_ERROR_FOLDED_HEADER = 8;
export const PARSE_ERROR_TOO_MANY_HEADERS = 9;
export const PARSE_ERROR_HEAD_TOO_LARGE = 10;
export const PARSE_ERROR_CONTENT_LENGTH = 11;
export const PARSE_ERROR_TRANSFER_ENCODING = 12;
export const PARSE_ERROR_BOTH_LENGTHS = 13;
export const PARSE_ERROR_HOST = 14;
export const PARSE_ERROR_CONNECTION_HEADER = 15;
export const PARSE_ERROR_STATUS_LINE = 16;
export const PARSE_ERROR_PATH = 17;
export const PARSE_ERROR_CHUNK = 18;
export const PARSE_ERROR_TRAILER = 19;
