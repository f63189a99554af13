// Secrets: those whose names say which files of this host they are. Each is read when somebody first asks for it, and again
// whenever its files change.

import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readCertificates } from '@lateen/identity';
import { FileWatch, hostFileSecret } from '@lateen/identity/host-files';
import type { DataSource } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { ResourceEntry } from '@lateen/xds-stream';
import { certificateEntry, rootsEntry } from './secret-entry.js';

/** The part of a logger that is used. */
export interface SecretLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface FileSecretsOptions {
  readonly logger: SecretLogger;
  /** Files that are not there or cannot be used. */
  readonly onFailure: () => void;
  /** A secret that somebody follows has another content. */
  readonly onChange: () => void;
}

interface FollowedFiles {
  readonly watch: FileWatch;
  readonly files: readonly string[];
  followers: number;
  /** What was good last. */
  entry: ResourceEntry | undefined;
}

/** True for `file-cert:CERTIFICATE~KEY`, `file-root:FILE` and `file-root:system`. */
export function isFileSecret(name: string): boolean {
  return hostFileSecret(name) !== undefined;
}

/** The files that are followed now, for all streams together. */
export class FileSecrets {
  readonly #followed = new Map<string, FollowedFiles>();

  constructor(private readonly options: FileSecretsOptions) {}

  /** Undefined where nobody follows it, or its files could not be used yet. */
  get(name: string): ResourceEntry | undefined {
    return this.#followed.get(name)?.entry;
  }

  /** Reads and follows the files of a name; each call needs one of `release`. */
  follow(name: string): void {
    const known = this.#followed.get(name);
    if (known !== undefined) {
      known.followers++;
      return;
    }
    const type = hostFileSecret(name);
    if (type === undefined) throw new Error(`${JSON.stringify(name)} names no files`);
    const files = filesOf(type);
    const watch = new FileWatch({ files, onChange: () => this.#changed(name) });
    this.#followed.set(name, { watch, files, followers: 1, entry: undefined });
    this.#read(name);
  }

  release(name: string): void {
    const known = this.#followed.get(name);
    if (known === undefined || --known.followers > 0) return;
    known.watch.close();
    this.#followed.delete(name);
  }

  close(): void {
    for (const { watch } of this.#followed.values()) watch.close();
    this.#followed.clear();
  }

  #changed(name: string): void {
    const before = this.get(name)?.version;
    if (this.#read(name) && this.get(name)?.version !== before) this.options.onChange();
  }

  /** Key and certificate are two files: between the two writes they do not belong together, and what they held before stays. */
  #read(name: string): boolean {
    const followed = this.#followed.get(name);
    const type = hostFileSecret(name);
    if (followed === undefined || type === undefined) return false;
    const { files } = followed;
    try {
      followed.entry = readSecret(name, type);
      this.options.logger.info({ files }, 'certificate files were read');
      return true;
    } catch (error) {
      this.options.onFailure();
      const message =
        followed.entry === undefined
          ? 'certificate files cannot be used; there is no such secret until they can'
          : 'changed certificate files cannot be used; what they held before stays';
      this.options.logger.warn({ files, reason: (error as Error).message }, message);
      return false;
    }
  }
}

/** @throws Error saying which file is wrong, never what is in it */
function readSecret(name: string, type: Secret['type']): ResourceEntry {
  const [first = '', key] = filesOf(type);
  const pem = readFileSync(first, 'utf8');
  const [leaf] = readCertificates(pem);
  if (leaf === undefined) throw new Error(`${first} holds no certificate in PEM form`);
  if (key === undefined) return rootsEntry(name, pem);
  const keyPem = readFileSync(key, 'utf8');
  if (!leaf.checkPrivateKey(privateKey(key, keyPem)))
    throw new Error(`the key in ${key} does not belong to the certificate in ${first}`);
  return certificateEntry(name, pem, keyPem);
}

function privateKey(file: string, pem: string) {
  try {
    return createPrivateKey(pem);
  } catch {
    // The library's message could quote from the key.
    throw new Error(`${file} holds no private key in PEM form, or an encrypted one`);
  }
}

function filesOf(type: Secret['type']): string[] {
  const sources: (DataSource | undefined)[] = [];
  if (type.case === 'tlsCertificate') sources.push(type.value.certificateChain, type.value.privateKey);
  if (type.case === 'validationContext') sources.push(type.value.trustedCa);
  return sources.flatMap((source) => (source?.specifier.case === 'filename' ? [source.specifier.value] : []));
}
