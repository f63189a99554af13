// Checkpoints of audit logs: what Citadel signs, as a JWS of a type of its own, and how the signature is checked.

import type { KeyObject } from 'node:crypto';
import { CompactSign, compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose';

/** How far a chain of audit records had come when Citadel signed it. */
export interface Checkpoint {
  readonly chain: string;
  /** Number and hash of the last record that it covers. */
  readonly seq: number;
  readonly hash: string;
  /** Requests and connections up to there, and how many more were dropped. */
  readonly records: number;
  readonly dropped: number;
  /** SPIFFE id of who wrote the log: that of the certificate by which it was sent. */
  readonly workload: string;
  /** Where the log is, in its writer's words. */
  readonly node: string;
  readonly file: string;
  /** When Citadel signed it. */
  readonly time: string;
}

/** What Citadel publishes: the keys by which checkpoints are checked, and the last checkpoint of each chain. */
export interface PublishedCheckpoints extends JSONWebKeySet {
  readonly chains: readonly Checkpoint[];
}

/** A key that signs checkpoints, and nothing else. */
export interface CheckpointKey {
  /** P-256. */
  readonly privateKey: KeyObject;
  readonly keyId: string;
}

/** Signed as a part of the header, so that no token or anything else that the same key might sign passes for a checkpoint. */
const TYPE = 'lateen-audit-checkpoint';
const ALGORITHM = 'ES256';

/** A compact JWS. */
export function signCheckpoint(checkpoint: Checkpoint, { privateKey, keyId }: CheckpointKey): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(checkpoint), 'utf8'))
    .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: keyId })
    .sign(privateKey);
}

/** Checks signatures by published keys. Resolves to what is wrong with one; undefined where it is good. */
export function createCheckpointVerifier(keys: JSONWebKeySet): (jws: string) => Promise<string | undefined> {
  const keySet = createLocalJWKSet({ keys: keys.keys });
  return async (jws) => {
    try {
      const { protectedHeader } = await compactVerify(jws, keySet, { algorithms: [ALGORITHM] });
      return protectedHeader.typ === TYPE ? undefined : `it is signed as ${String(protectedHeader.typ)}`;
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code === 'ERR_JWKS_NO_MATCHING_KEY') return 'it is signed by a key that Citadel has not published';
      if (typeof code === 'string' && code.startsWith('ERR_J')) return 'its signature is not good';
      throw error;
    }
  };
}
