// Explain: a request with tokens, whose signatures are checked before the rest is decided.

import { signatureKey, TokenVerifier } from '@lateen/jwt';
import { withDecision } from './decide/decision.js';
import { type ExplainInput, explain } from './explain.js';
import type { Explanation } from './explanation.js';
import { type ArrivingCall, type ExplainedArrival, explainInbound } from './inbound.js';
import { Places } from './places/places.js';
import { type KnownTokens, SignatureUnknownError } from './read/tokens.js';

/** As `explain`. @param nowMs the time at which tokens have to be good */
export function explainWithTokens(input: Omit<ExplainInput, 'tokens'>, nowMs: number): Promise<Explanation> {
  return withCheckedTokens(nowMs, (tokens) => explain({ ...input, tokens }));
}

/**
 * What the sidecar of a workload makes of a request that comes straight to it. Where it comes by mutual TLS, the caller is who it
 * is by its certificate. Undefined where the target has no sidecar.
 *
 * @param nowMs the time at which tokens have to be good
 */
export function explainArrival(
  input: Pick<ExplainInput, 'snapshot' | 'documents' | 'caller'>,
  call: ArrivingCall,
  nowMs: number,
): Promise<ExplainedArrival | undefined> {
  const places = new Places(input.snapshot, input.documents);
  return withCheckedTokens(nowMs, (tokens) =>
    withDecision((decision) => explainInbound({ ...input, decision, places, tokens }, call)),
  );
}

async function withCheckedTokens<T>(nowMs: number, decide: (tokens: KnownTokens) => T): Promise<T> {
  const checked = new Map();
  const verifier = new TokenVerifier();
  while (true) {
    try {
      return decide({ nowMs, checked });
    } catch (error) {
      if (!(error instanceof SignatureUnknownError)) throw error;
      const { provider, token, parsed } = error.unchecked;
      const status = await verifier.verify(provider.keys, token, parsed);
      checked.set(signatureKey(provider, token), status === 'ok' ? parsed : status);
    }
  }
}
