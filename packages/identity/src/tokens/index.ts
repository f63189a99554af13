// Reading order: token-signer.ts (the supervisor makes tokens), token-verifier.ts (Citadel checks them), oidc-keys.ts (keys of
// an issuer elsewhere).

// What checks tokens against a key set that may be replaced; from jose, so that one version of it is in use.
export { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
export * from './oidc-keys.js';
export * from './token-signer.js';
export * from './token-verifier.js';
