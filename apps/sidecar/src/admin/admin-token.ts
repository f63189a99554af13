// Admin API: the token that calls which change something must carry. Made at each start, readable by this user only.

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import { writeFileAtomic } from '@lateen/identity';

const FILE_NAME = 'admin-token';
const TOKEN_BYTES = 32;

export class AdminToken {
  private constructor(private readonly token: Buffer) {}

  /** Writes a new token to the state directory. */
  static async create(stateDir: string): Promise<AdminToken> {
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    await writeFileAtomic(join(stateDir, FILE_NAME), `${token}\n`, { mode: 0o600 });
    return new AdminToken(Buffer.from(token));
  }

  /** True for `Bearer TOKEN` with this token. */
  matches(authorization: string | undefined): boolean {
    const given = Buffer.from(/^Bearer ([\w-]+)$/i.exec(authorization ?? '')?.[1] ?? '');
    return given.length === this.token.length && timingSafeEqual(given, this.token);
  }
}
