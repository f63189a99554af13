// Secrets: what each stream is served: the own identity as `default` and `ROOTCA`, files by their names, and nothing else.

import { createHash } from 'node:crypto';
import type { IdentitySource, WorkloadIdentity } from '@lateen/identity';
import { TYPE_URL } from '@lateen/xds-proto';
import type { ResourceEntry, ResourceSource, ResourceView, ServedSnapshot } from '@lateen/xds-stream';
import { FileSecrets, type FileSecretsOptions, isFileSecret } from './file-secrets.js';
import { certificateEntry, rootsEntry } from './secret-entry.js';

/** Names that stand for the own identity, as Istio's agent has them. */
export const OWN_CERTIFICATE = 'default';
export const OWN_ROOTS = 'ROOTCA';

export interface SecretSourceOptions extends Omit<FileSecretsOptions, 'onChange'> {
  readonly identity: IdentitySource;
}

/** All streams' secrets. A change reaches every stream that asked for what changed. */
export class SecretSource implements ResourceSource {
  readonly #identity: IdentitySource;
  readonly #files: FileSecrets;
  readonly #views = new Set<SecretView>();
  readonly #unsubscribe: () => void;
  #own: { readonly of: WorkloadIdentity; readonly entries: ReadonlyMap<string, ResourceEntry> } | undefined;

  constructor({ identity, ...options }: SecretSourceOptions) {
    this.#identity = identity;
    const tellAll = () => {
      for (const view of this.#views) view.changed();
    };
    this.#files = new FileSecrets({ ...options, onChange: tellAll });
    this.#unsubscribe = identity.subscribe(tellAll);
  }

  open(_client: unknown, onChange: () => void): ResourceView {
    const view: SecretView = new SecretView({
      onChange,
      files: this.#files,
      own: () => this.#ownEntries(),
      onClose: () => this.#views.delete(view),
    });
    this.#views.add(view);
    return view;
  }

  close(): void {
    this.#unsubscribe();
    this.#files.close();
  }

  /** Undefined until there is a certificate. */
  #ownEntries(): ReadonlyMap<string, ResourceEntry> | undefined {
    const { current } = this.#identity;
    if (current === undefined) return undefined;
    if (this.#own?.of !== current) {
      const entries = new Map([
        [OWN_CERTIFICATE, certificateEntry(OWN_CERTIFICATE, current.certChainPem, current.keyPem)],
        [OWN_ROOTS, rootsEntry(OWN_ROOTS, current.rootsPem)],
      ]);
      this.#own = { of: current, entries };
    }
    return this.#own.entries;
  }
}

interface SecretViewOptions {
  readonly onChange: () => void;
  readonly onClose: () => void;
  readonly files: FileSecrets;
  readonly own: () => ReadonlyMap<string, ResourceEntry> | undefined;
}

/** One stream's secrets: the names that it asked for, as far as there are such. */
class SecretView implements ResourceView {
  #names: ReadonlySet<string> = new Set();
  #snapshot: ServedSnapshot | undefined;

  constructor(private readonly options: SecretViewOptions) {}

  changed(): void {
    this.#snapshot = undefined;
    this.options.onChange();
  }

  onSubscribed(_typeUrl: string, names: ReadonlySet<string>): void {
    const { files } = this.options;
    const before = this.#names;
    // Most requests only answer what was sent.
    if (names.size === before.size && [...names].every((name) => before.has(name))) return;
    this.#names = new Set(names);
    // First the new ones, so that what is in both is read once.
    for (const name of names) if (!before.has(name) && isFileSecret(name)) files.follow(name);
    for (const name of before) if (!names.has(name) && isFileSecret(name)) files.release(name);
    this.changed();
  }

  /** Nothing while there is no certificate and the client asks for it: it will be there soon, and absence would mean never. */
  current(): ServedSnapshot | undefined {
    if (this.#snapshot !== undefined) return this.#snapshot;
    const own = this.options.own();
    const wantsOwn = this.#names.size === 0 || this.#names.has(OWN_CERTIFICATE) || this.#names.has(OWN_ROOTS);
    if (own === undefined && wantsOwn) return undefined;
    const secrets = new Map(own ?? []);
    for (const name of this.#names) {
      const entry = this.options.files.get(name);
      if (entry !== undefined) secrets.set(name, entry);
    }
    const version = createHash('sha256');
    for (const [name, entry] of secrets) version.update(`${name}\n${entry.version}\n`);
    this.#snapshot = {
      version: version.digest('hex').slice(0, 16),
      resources: new Map([[TYPE_URL.secret, secrets]]),
    };
    return this.#snapshot;
  }

  close(): void {
    for (const name of this.#names) if (isFileSecret(name)) this.options.files.release(name);
    this.#names = new Set();
    this.options.onClose();
  }
}
