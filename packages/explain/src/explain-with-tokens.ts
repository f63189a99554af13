// Explain: a request with tokens, whose signatures are checked before the rest is decided.

import { signatureKey, TokenVerifier } from '@lateen/jwt';
import { type ExplainInput, explain } from './explain.js';
import type { Explanation } from './explanation.js';
import { SignatureUnknownError } from './read/tokens.js';

/** As `explain`. @param nowMs the time at which tokens have to be good */
export async function explainWithTokens(input: Omit<ExplainInput, 'tokens'>, nowMs: number): Promise<Explanation> {
  const checked = new Map();
  const verifier = new TokenVerifier();
  while (true) {
    try {
      return explain({ ...input, tokens: { nowMs, checked } });
    } catch (error) {
      if (!(error instanceof SignatureUnknownError)) throw error;
      const { provider, token, parsed } = error.unchecked;
      const status = await verifier.verify(provider.keys, token, parsed);
      checked.set(signatureKey(provider, token), status === 'ok' ? parsed : status);
    }
  }
}
