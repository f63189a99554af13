// Reading order: signing-keys.ts and encrypted-key.ts (keys), authority-certificates.ts (root and leaf), plugged-in.ts (an
// intermediate of somebody else), read-csr.ts (what is asked for), x509-engine.ts.
export * from './authority-certificates.js';
export * from './encrypted-key.js';
export * from './plugged-in.js';
export * from './read-csr.js';
export { SIGNING_KEY_TYPES, type SigningKeyType, signingAlgorithmOf } from './signing-keys.js';
