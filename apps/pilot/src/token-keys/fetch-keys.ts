// Token keys: fetches the keys of one issuer, from where they are or where its discovery document says that they are.

import { MAX_KEY_SET_BYTES, readKeySet } from '@lateen/jwt';
import { isDiscovery } from '@lateen/translate';

const MAX_REDIRECTS = 3;

/** Why there are no keys; the message goes into the status of the policy. */
export class KeyFetchError extends Error {}

/**
 * The key set as JSON; it has at least one key that can be used.
 *
 * @throws KeyFetchError
 */
export async function fetchKeys(address: string, timeoutMs: number): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const text = await fetchText(address, signal);
    if (!isDiscovery(address)) return checkedKeys(text, address);
    const location = keysLocation(text, address);
    return checkedKeys(await fetchText(location, signal), location);
  } catch (error) {
    if (error instanceof KeyFetchError) throw error;
    if (signal.aborted) throw new KeyFetchError(`no answer within ${timeoutMs} ms`);
    const { cause, message } = error as Error;
    throw new KeyFetchError(cause instanceof Error ? cause.message : message);
  }
}

/** Follows few redirects, none of which leads from https to http. */
async function fetchText(address: string, signal: AbortSignal): Promise<string> {
  let url = new URL(address);
  for (let redirects = 0; ; redirects++) {
    const response = await fetch(url, { redirect: 'manual', signal, headers: { accept: 'application/json' } });
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return textOf(response, url);
    await response.body?.cancel();
    if (redirects === MAX_REDIRECTS)
      throw new KeyFetchError(`more than ${MAX_REDIRECTS} redirects, the last from ${url}`);
    url = nextUrl(location, url);
  }
}

/** Where a document or a redirect leads. */
function nextUrl(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) throw new KeyFetchError(`${from} leads to ${location}, which is no address`);
  const url = new URL(location, from);
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && from.protocol === 'http:');
  if (!isSafe) throw new KeyFetchError(`${from} leads to ${url}, which is not ${from.protocol.slice(0, -1)}`);
  return url;
}

async function textOf(response: Response, url: URL): Promise<string> {
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new KeyFetchError(`${url} answers ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    // Leaving the loop cancels the rest.
    if (length > MAX_KEY_SET_BYTES) throw new KeyFetchError(`${url} sends more than ${MAX_KEY_SET_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function keysLocation(text: string, address: string): string {
  const document = parse(text, address);
  const location = typeof document === 'object' && document !== null && 'jwks_uri' in document ? document.jwks_uri : '';
  if (typeof location !== 'string' || location === '') throw new KeyFetchError(`${address} names no jwks_uri`);
  return nextUrl(location, new URL(address)).href;
}

function checkedKeys(text: string, address: string): string {
  parse(text, address);
  if (readKeySet(text).keys.length === 0) throw new KeyFetchError(`${address} has no key that can be used`);
  return text;
}

function parse(text: string, address: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KeyFetchError(`${address} is not JSON`);
  }
}
