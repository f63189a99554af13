// Tokens of an OIDC issuer, such as a cluster: its keys, found by discovery, kept while the issuer is away.

import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';

export interface OidcKeysOptions {
  /** The `iss` of its tokens, and where discovery begins: `https://…`, or `http://` on a loopback address. */
  readonly issuer: string;
  /** Where the keys are; found by discovery unless given. */
  readonly jwksUri?: string | undefined;
  readonly fetch?: typeof fetch;
  readonly nowMs?: () => number;
}

const FETCH_TIMEOUT_MS = 5_000;
const MAX_BYTES = 1024 * 1024;
const REFRESH_MS = 10 * 60_000;
/** After a failure, and for keys that nobody knows, the issuer is asked no more often than this. */
const COOL_DOWN_MS = 10_000;

/** The public keys of an issuer: fetched when first needed, refreshed, and fetched anew for a key that is not among them. */
export class OidcKeys {
  readonly #options: OidcKeysOptions;
  #keys: JWTVerifyGetKey | undefined;
  #fetchedAtMs = Number.NEGATIVE_INFINITY;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;
  /** Why the last fetch failed; undefined where it did not. */
  problem: string | undefined;

  /** @throws Error where an address may not be used */
  constructor(options: OidcKeysOptions) {
    this.#options = options;
    checkAddress(options.issuer);
    if (options.jwksUri !== undefined) checkAddress(options.jwksUri);
  }

  /** Finds the key of a token; undefined where no keys were ever fetched (`problem` says why). */
  async current(): Promise<JWTVerifyGetKey | undefined> {
    if (this.#now() - this.#fetchedAtMs >= REFRESH_MS) await this.#refresh();
    const keys = this.#keys;
    if (keys === undefined) return undefined;
    return async (header, token) => {
      try {
        return await keys(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        await this.#refresh(); // the issuer may have rotated its keys
        return (this.#keys ?? keys)(header, token);
      }
    };
  }

  #refresh(): Promise<void> {
    if (this.#fetching === undefined && this.#now() - this.#askedAtMs >= COOL_DOWN_MS) {
      this.#askedAtMs = this.#now();
      this.#fetching = this.#fetchKeys()
        .catch((error: Error) => {
          const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
          this.problem = `the keys of ${this.#options.issuer} cannot be fetched: ${error.message}${cause}`;
        })
        .finally(() => {
          this.#fetching = undefined;
        });
    }
    return this.#fetching ?? Promise.resolve();
  }

  async #fetchKeys(): Promise<void> {
    const address = this.#options.jwksUri ?? (await this.#discover());
    const keySet = (await this.#json(address)) as { keys?: unknown };
    if (!Array.isArray(keySet.keys)) throw new Error(`${address} has no "keys"`);
    this.#keys = createLocalJWKSet(keySet as JSONWebKeySet);
    this.#fetchedAtMs = this.#now();
    this.problem = undefined;
  }

  async #discover(): Promise<string> {
    const { issuer } = this.#options;
    const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const found = (await this.#json(address)) as { issuer?: unknown; jwks_uri?: unknown };
    // OpenID Connect Discovery, section 4.3: otherwise one issuer could speak for another.
    if (found.issuer !== issuer) throw new Error(`${address} is of the issuer ${JSON.stringify(found.issuer)}`);
    if (typeof found.jwks_uri !== 'string') throw new Error(`${address} has no "jwks_uri"`);
    checkAddress(found.jwks_uri);
    return found.jwks_uri;
  }

  async #json(address: string): Promise<object> {
    const response = await (this.#options.fetch ?? fetch)(address, {
      redirect: 'error',
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      headers: { accept: 'application/json' },
    });
    if (!response.ok) throw new Error(`${address} answers ${response.status}`);
    const value: unknown = JSON.parse(await limitedText(response, address));
    if (typeof value !== 'object' || value === null) throw new Error(`${address} is no JSON object`);
    return value;
  }

  #now(): number {
    return (this.#options.nowMs ?? (() => performance.now()))();
  }
}

/** Keys that come over plain HTTP could be anybody's; on this machine nobody is in between. */
function checkAddress(address: string): void {
  const { protocol, hostname } = new URL(address);
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback)) return;
  throw new Error(`${address} must be https`);
}

async function limitedText(response: Response, address: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > MAX_BYTES) throw new Error(`${address} is larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString('utf8');
}
