// Attestation by the cluster: its API server says whose a service account token is, and whether its pod still exists (TokenReview).

import { createHash } from 'node:crypto';
import { ApiError, type KubeClient, resourcePath, resourceTypes, type TokenReview } from '@lateen/kubernetes';
import { type Attestation, AttestationError, AttestorUnavailableError } from './attestor.js';

export interface TokenReviewOptions {
  readonly client: KubeClient;
  /** The token must be made for it; the API server's own audience would let any pod's token through to anybody who has seen it. */
  readonly audience: string;
  /** Told of each answer of the API server, for the metrics. */
  readonly onReview?: (result: 'authenticated' | 'refused' | 'unavailable') => void;
  readonly nowMs?: () => number;
}

const TIMEOUT_MS = 5_000;
/** A pod that is gone keeps its word for this long, at most. */
const KEPT_MS = 10_000;
const MAX_KEPT = 4_096;
/** More at once would only queue up in the API server. */
const MAX_UNDER_WAY = 64;
const MAX_TOKEN_BYTES = 16 * 1024;
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';

type Verdict = { readonly attestation: Attestation } | { readonly refusal: string };

interface Kept {
  readonly verdict: Promise<Verdict>;
  untilMs: number;
}

export class TokenReviewer {
  readonly #options: TokenReviewOptions;
  /** By the token's SHA-256, so that no token is kept. */
  readonly #kept = new Map<string, Kept>();
  #underWay = 0;

  constructor(options: TokenReviewOptions) {
    this.#options = options;
  }

  /** @throws AttestationError where the token proves nothing; AttestorUnavailableError where the API server cannot say */
  async attest(token: string): Promise<Attestation> {
    const expiresMs = this.#refuseHopeless(token);
    const verdict = await this.#verdict(token, expiresMs);
    if ('refusal' in verdict) throw new AttestationError(verdict.refusal);
    return verdict.attestation;
  }

  /** What the API server need not be asked about. Nothing that is read here counts as proved. @returns when it ends */
  #refuseHopeless(token: string): number {
    if (token.length > MAX_TOKEN_BYTES) throw new AttestationError('token is too large');
    const claims = unverifiedClaims(token);
    const { audience } = this.#options;
    const audiences = [claims.aud].flat();
    if (!audiences.includes(audience))
      throw new AttestationError(`token is for the audience ${JSON.stringify(audiences.join(', '))}, not ${audience}`);
    if (typeof claims.exp !== 'number') throw new AttestationError('token has no expiry');
    const expiresMs = claims.exp * 1000;
    if (expiresMs <= this.#nowMs()) throw new AttestationError('token has expired');
    return expiresMs;
  }

  #verdict(token: string, expiresMs: number): Promise<Verdict> {
    const now = this.#nowMs();
    const key = createHash('sha256').update(token).digest('base64');
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.untilMs > now) return kept.verdict;
    const entry: Kept = { verdict: this.#review(token), untilMs: Number.POSITIVE_INFINITY };
    this.#kept.delete(key);
    this.#kept.set(key, entry);
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    entry.verdict.then(
      () => {
        entry.untilMs = Math.min(this.#nowMs() + KEPT_MS, expiresMs);
      },
      () => {
        if (this.#kept.get(key) === entry) this.#kept.delete(key);
      },
    );
    return entry.verdict;
  }

  async #review(token: string): Promise<Verdict> {
    const { audience, onReview } = this.#options;
    if (this.#underWay >= MAX_UNDER_WAY) throw unavailable(`${MAX_UNDER_WAY} reviews are under way already`);
    this.#underWay++;
    try {
      const { status } = await this.#ask(token);
      const verdict = verdictOf(status, audience);
      onReview?.('refusal' in verdict ? 'refused' : 'authenticated');
      return verdict;
    } catch (error) {
      onReview?.('unavailable');
      throw error;
    } finally {
      this.#underWay--;
    }
  }

  async #ask(token: string): Promise<TokenReview> {
    const { client, audience } = this.#options;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      metadata: {},
      spec: { token, audiences: [audience] },
    };
    try {
      return await client.json<TokenReview>('TokenReview', {
        method: 'POST',
        path: resourcePath(resourceTypes.tokenReviews),
        body,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      const forbidden = error instanceof ApiError && error.code === 403;
      const advice = forbidden ? "; give Citadel's service account the ClusterRole system:auth-delegator" : '';
      throw unavailable(`${(error as Error).message}${advice}`, error);
    }
  }

  #nowMs(): number {
    return this.#options.nowMs?.() ?? Date.now();
  }
}

function verdictOf(status: TokenReview['status'], audience: string): Verdict {
  if (status?.authenticated !== true)
    return { refusal: `the API server does not take the token: ${status?.error || 'no reason given'}` };
  // A server that knows nothing of audiences answers without them.
  if (!status.audiences?.includes(audience))
    return { refusal: `the API server did not confirm that the token is for the audience ${audience}` };
  const { username = '', extra = {} } = status.user ?? {};
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username);
  if (account === null) return { refusal: `the token is of ${JSON.stringify(username)}, which is no service account` };
  const [, namespace, serviceAccount] = account as unknown as [string, string, string];
  return {
    attestation: {
      namespace,
      serviceAccount,
      podName: extra[POD_NAME]?.[0],
      podUid: extra[POD_UID]?.[0],
      attestor: 'token-review',
    },
  };
}

function unverifiedClaims(token: string): { readonly aud?: unknown; readonly exp?: unknown } {
  try {
    const [, payload, signature, more] = token.split('.');
    if (!signature || more !== undefined) throw new Error('it has not three parts');
    const claims: unknown = JSON.parse(Buffer.from(payload as string, 'base64url').toString('utf8'));
    if (typeof claims !== 'object' || claims === null) throw new Error('its claims are no object');
    return claims;
  } catch (error) {
    throw new AttestationError(`token is malformed: ${(error as Error).message}`, { cause: error });
  }
}

function unavailable(reason: string, cause?: unknown): AttestorUnavailableError {
  return new AttestorUnavailableError(
    `service account tokens cannot be checked now (attestor token-review): ${reason}; a valid certificate can be renewed by showing it`,
    { cause },
  );
}
