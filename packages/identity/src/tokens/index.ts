// Reading order: token-signer.ts (the supervisor makes tokens), token-verifier.ts (Citadel checks them).
export * from './token-signer.js';
export * from './token-verifier.js';
