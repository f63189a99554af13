// Reading order: checkpoint.ts (what is signed, and its signature), checkpoint-key.ts (the key on disk).
export * from './checkpoint.js';
export * from './checkpoint-key.js';
