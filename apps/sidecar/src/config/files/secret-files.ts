// Sources: secrets whose PEM is in files are read again when the files change; what cannot be used leaves the previous one.

import { FileWatch, hostFileSecret } from '@lateen/identity/host-files';
import type { DataSource } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { TlsSecret } from '../../data-plane.js';
import { readSecret } from '../read-secret.js';

export interface SecretFilesOptions {
  /** Called when a secret that is followed has another content. */
  readonly onChange: () => void;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

/** What a secret's message says, read once; `reread` replaces it. */
const contents = new WeakMap<Secret, TlsSecret>();

/**
 * Undefined where it names files of this host that cannot be used now: what needs them waits, and nothing else.
 *
 * @throws Error where another cannot be used, which was refused when the message came
 */
export function tlsSecretOf(secret: Secret): TlsSecret | undefined {
  let value = contents.get(secret);
  if (value === undefined && hostFileSecret(secret.name) !== undefined) {
    value = readSecret(secret, () => {});
    if (value !== undefined) contents.set(secret, value);
    return value;
  }
  if (value === undefined) {
    value = readSecret(secret, (path, message) => {
      throw new Error(`secret ${JSON.stringify(secret.name)} ${path}: ${message}`);
    });
    if (value !== undefined) contents.set(secret, value);
  }
  return value;
}

/** Follows the files of the secrets in use. */
export class SecretFiles {
  readonly #watches = new Map<Secret, FileWatch>();

  constructor(private readonly options: SecretFilesOptions) {}

  /** Follows these secrets from now on, and no others. */
  follow(secrets: Iterable<Secret>): void {
    const wanted = new Set(secrets);
    for (const [secret, watch] of this.#watches) {
      if (wanted.has(secret)) continue;
      watch.close();
      this.#watches.delete(secret);
    }
    for (const secret of wanted) {
      const files = filesOf(secret);
      if (this.#watches.has(secret) || files.length === 0) continue;
      const directory = watchedDirectoryOf(secret);
      this.#watches.set(secret, new FileWatch({ files, directory, onChange: () => this.#reread(secret) }));
      if (!contents.has(secret)) this.#reread(secret);
    }
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.close();
    this.#watches.clear();
  }

  #reread(secret: Secret): void {
    const problems: string[] = [];
    const value = readSecret(secret, (path, message) => problems.push(`${path}: ${message}`));
    if (value === undefined) {
      // Key and certificate are two files: between the two writes they do not belong together.
      const fields = { files: filesOf(secret), problems };
      const message = contents.has(secret)
        ? 'changed certificate files cannot be used; what they held before stays'
        : 'certificate files cannot be used; connections that need them are refused until they can';
      this.options.log('warn', message, fields);
      return;
    }
    contents.set(secret, value);
    this.options.log('info', 'certificate files were read again', { files: filesOf(secret) });
    this.options.onChange();
  }
}

function sourcesOf({ type }: Secret): (DataSource | undefined)[] {
  if (type.case === 'tlsCertificate') return [type.value.certificateChain, type.value.privateKey];
  return type.case === 'validationContext' ? [type.value.trustedCa] : [];
}

function filesOf(secret: Secret): string[] {
  return sourcesOf(secret).flatMap((source) => (source?.specifier.case === 'filename' ? [source.specifier.value] : []));
}

export function watchedDirectoryOf({ type }: Secret): string | undefined {
  return type.case === 'tlsCertificate' || type.case === 'validationContext'
    ? type.value.watchedDirectory?.path
    : undefined;
}
