// Authority: one root on disk: `roots/ID/key.pem` (0600, encrypted where there is a passphrase) and `roots/ID/cert.pem`.

import { type KeyObject, X509Certificate } from 'node:crypto';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { rootId, syncDirectory, writeFileAtomic } from '@lateen/identity';
import {
  encryptPrivateKey,
  isEncryptedPrivateKey,
  PassphraseError,
  readPrivateKey,
  signingAlgorithmOf,
} from '@lateen/identity/authority';
import type { Logger } from '@lateen/telemetry';
import { faultPoint } from './fault-point.js';

export interface StoredRoot {
  readonly id: string;
  readonly certificate: X509Certificate;
  readonly certPem: string;
  /** PKCS#8, not encrypted: it stays in memory. */
  readonly keyPem: string;
}

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
    await writeFileAtomic(this.keyFile(root.id), await this.#protect(root.keyPem), { mode: 0o600 });
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
    const stored = await readFile(keyFile, 'utf8');
    if (this.passphrase !== undefined && !isEncryptedPrivateKey(stored)) {
      await writeFileAtomic(keyFile, await this.#protect(root.keyPem), { mode: 0o600 });
      this.logger.info({ keyFile }, "encrypted the root's key with the passphrase");
    }
    return root;
  }

  /** For a root whose certificates are valid no more. */
  expired(root: StoredRoot): Error {
    return new Error(
      `${this.certFile(root.id)} has expired on ${new Date(root.certificate.validTo).toISOString()}, and so has every certificate of it; ` +
        'remove the whole state directory to start with a new root (every workload must then get the new root and a new certificate)',
    );
  }

  /** As `read`, from any two files. */
  async readPair(keyFile: string, certFile: string): Promise<StoredRoot> {
    const [storedKey, certPem] = [await readExisting(keyFile), await readExisting(certFile)];
    const { mode } = await stat(keyFile);
    if ((mode & 0o077) !== 0) {
      throw new Error(
        `${keyFile} may be read by others (mode ${(mode & 0o777).toString(8)}); if nobody can have copied it, ` +
          'chmod 600 it, otherwise replace the root',
      );
    }
    const key = this.#readKey(storedKey, keyFile);
    const certificate = attempt(() => new X509Certificate(certPem), certFile, `is not a certificate; ${ADVICE}`);
    if (!certificate.ca) throw new Error(`${certFile} is not the certificate of an authority; ${ADVICE}`);
    if (!certificate.checkPrivateKey(key))
      throw new Error(`${certFile} and ${keyFile} do not belong together; restore the pair from a backup`);
    if (!certificate.verify(certificate.publicKey))
      throw new Error(`${certFile} is not signed by its own key, so it is no root; ${ADVICE}`);
    return {
      id: rootId(certificate),
      certificate,
      certPem: certificate.toString(),
      keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
  }

  #readKey(pem: string, file: string): KeyObject {
    try {
      const key = readPrivateKey(pem, this.passphrase);
      signingAlgorithmOf(key);
      return key;
    } catch (error) {
      const reason = (error as Error).message;
      if (error instanceof PassphraseError) {
        const advice =
          error.code === 'missing' ? 'give it with --ca-passphrase-file or LATEEN_CA_PASSPHRASE' : 'give the right one';
        throw new Error(`${file} ${reason}; ${advice}`, { cause: error });
      }
      throw new Error(`${file} is not a private key that can sign (${reason}); ${ADVICE}`, { cause: error });
    }
  }

  async #protect(keyPem: string): Promise<string> {
    return this.passphrase === undefined
      ? keyPem
      : encryptPrivateKey(readPrivateKey(keyPem, undefined), this.passphrase);
  }
}

export const hasExpired = ({ certificate }: StoredRoot): boolean => Date.parse(certificate.validTo) <= Date.now();

const ADVICE = 'restore it from a backup';

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

function attempt<T>(action: () => T, file: string, what: string): T {
  try {
    return action();
  } catch (error) {
    throw new Error(`${file} ${what} (${(error as Error).message})`, { cause: error });
  }
}
