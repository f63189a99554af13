// The formats of rate limits and the state of their token buckets, read by TypeScript and by AssemblyScript. Like layout.ts.

/** Token buckets of rate limits by slot (see BUCKET_*). */
export const BUCKETS = 101711872;
export const BUCKET_BYTES = 64;
export const BUCKET_COUNT = 16384;
