// productpage: who is signed in. The cookie carries the name and a signature, so that it cannot be edited by hand.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const COOKIE = 'session';
/** Set SESSION_KEY to the same value in several replicas; a random key lasts as long as the process. */
const key = process.env.SESSION_KEY ?? randomBytes(32);
const MAX_NAME_LENGTH = 64;

function sign(encodedName: string): string {
  return createHmac('sha256', key).update(encodedName).digest('base64url');
}

/** The Set-Cookie value that signs this user in. */
export function signedInCookie(user: string): string {
  const name = Buffer.from(user.slice(0, MAX_NAME_LENGTH)).toString('base64url');
  return `${COOKIE}=${name}.${sign(name)}; Path=/; HttpOnly; SameSite=Lax`;
}

/** The Set-Cookie value that signs out. */
export function signedOutCookie(): string {
  return `${COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`;
}

/** The user of a Cookie header, or undefined where nobody is signed in or the signature is not ours. */
export function signedInUser(cookieHeader: string | undefined): string | undefined {
  for (const pair of (cookieHeader ?? '').split(';')) {
    const [cookie, value] = pair.trim().split('=', 2);
    if (cookie !== COOKIE || value === undefined) continue;
    const [name, signature] = value.split('.', 2);
    if (name === undefined || signature === undefined) continue;
    const expected = Buffer.from(sign(name));
    const given = Buffer.from(signature);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) continue;
    return Buffer.from(name, 'base64url').toString('utf8');
  }
  return undefined;
}
