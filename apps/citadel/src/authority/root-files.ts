// Authority: one root on disk: `roots/ID/key.pem` (0600, encrypted where there is a passphrase) and `roots/ID/cert.pem`.

import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '@lateen/identity';
import { isEncryptedPrivateKey } from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';
import { faultPoint } from './fault-point.js';
import { ADVICE, protectKey, readRoot, type StoredRoot } from './stored-root.js';

export class RootFiles {
  constructor(
    private readonly stateDir: string,
    private readonly passphrase: string | undefined,
    private readonly logger: Logger,
  ) {}

  keyFile(id: string): string {
    return join(this.stateDir, 'roots', id, 'key.pem');
  }

  certFile(id: string): string {
    return join(this.stateDir, 'roots', id, 'cert.pem');
  }

  /** Writes both files durably. */
  async store(root: StoredRoot): Promise<void> {
    const directory = dirname(this.keyFile(root.id));
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await this.#writeKey(root);
    faultPoint('make:key');
    await writeFileAtomic(this.certFile(root.id), root.certPem, { mode: 0o644 });
    await syncDirectory(dirname(directory));
    await syncDirectory(this.stateDir);
  }

  /** Removes key and certificate; it is no error that they are gone. */
  async erase(id: string): Promise<void> {
    await rm(dirname(this.keyFile(id)), { recursive: true, force: true });
    await syncDirectory(join(this.stateDir, 'roots'));
  }

  /** Reads and checks a root, which may have expired. @throws Error naming the file and what to do about it */
  async read(id: string): Promise<StoredRoot> {
    const [keyFile, certFile] = [this.keyFile(id), this.certFile(id)];
    const root = await this.readPair(keyFile, certFile);
    if (root.id !== id) throw new Error(`${certFile} is the certificate of another root, ${root.id}; ${ADVICE}`);
    if (this.passphrase !== undefined && !isEncryptedPrivateKey(await readFile(keyFile, 'utf8'))) {
      await this.#writeKey(root);
      this.logger.info({ keyFile }, "encrypted the root's key with the passphrase");
    }
    return root;
  }

  /** As `read`, from any two files. */
  async readPair(keyFile: string, certFile: string): Promise<StoredRoot> {
    const [key, cert] = [await readExisting(keyFile), await readExisting(certFile)];
    const { mode } = await stat(keyFile);
    if ((mode & 0o077) !== 0) {
      throw new Error(
        `${keyFile} may be read by others (mode ${(mode & 0o777).toString(8)}); if nobody can have copied it, ` +
          'chmod 600 it, otherwise replace the root',
      );
    }
    return readRoot({ key, keyName: keyFile, cert, certName: certFile }, this.passphrase);
  }

  async #writeKey({ id, keyPem }: StoredRoot): Promise<void> {
    await writeFileAtomic(this.keyFile(id), await protectKey(keyPem, this.passphrase), { mode: 0o600 });
  }
}

async function readExisting(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error(
      `${file} is missing; ${ADVICE}, or remove the whole state directory to start with a new root (every workload must ` +
        'then get the new root and a new certificate)',
      { cause: error },
    );
  }
}
