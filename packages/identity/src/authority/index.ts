// Reading order: authority-certificates.ts (root and leaf), read-csr.ts (what is asked for), x509-engine.ts.
export * from './authority-certificates.js';
export * from './read-csr.js';
