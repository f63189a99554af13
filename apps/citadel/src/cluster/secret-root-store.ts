// Cluster: roots in the Secret `istio-ca-secret`, under Istio's names, with the state of a rotation beside them. The Secret is created
// once; every later write replaces it as a whole, under the condition that it is still the one that was read.

import { isEncryptedPrivateKey } from '@lateen/identity/authority';
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  type KubeClient,
  resourceTypes,
  type Secret,
} from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import { parseRootState, type RootState } from '../authority/root-state.js';
import type { RootStore, StoredRoots } from '../authority/root-store.js';
import { ADVICE, protectKey, readRoot, type StoredRoot } from '../authority/stored-root.js';
import { readRoots } from './trust-bundle-object.js';

export const ROOT_SECRET = 'istio-ca-secret';
const SECRET_TYPE = 'istio.io/ca-root';
/** The one that signs, as Istio has it. */
const SIGNING = { cert: 'ca-cert.pem', key: 'ca-key.pem' };
const CHAIN = 'cert-chain.pem';
const BUNDLE = 'root-cert.pem';
const STATE = 'authority.json';
/** Who wrote last; also changes with each new writer, so that what the one before has under way is refused. */
const WRITER = 'lateen.io/writer';
const MAX_ATTEMPTS = 5;

/** Another replica is the writer. Nothing was written. */
export class NotTheWriterError extends Error {
  override readonly name = 'NotTheWriterError';
}

export interface SecretRootStoreOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly passphrase: string | undefined;
  /** Asked before each write. @throws NotTheWriterError */
  readonly mayWrite: () => void;
  /** Who we are: the pod's name. */
  readonly writer: string;
  readonly logger: Logger;
}

/** A root, and its key as it is stored. */
interface Held {
  readonly root: StoredRoot;
  readonly keyPem: string;
}

export class SecretRootStore implements RootStore {
  readonly #options: SecretRootStoreOptions;
  /** As it was read or written last. */
  #secret: Secret | undefined;
  #held = new Map<string, Held>();
  #state: RootState | undefined;
  #writer: string;
  #claimed = false;

  constructor(options: SecretRootStoreOptions) {
    this.#options = options;
    this.#writer = options.writer;
  }

  /** Between `claim` and `release`: nobody else's version is taken over, so that nothing can be written on top of it. */
  get isClaimed(): boolean {
    return this.#claimed;
  }

  /** What people call the Secret. */
  get place(): string {
    return `Secret ${this.#options.namespace}/${ROOT_SECRET}`;
  }

  async open(): Promise<StoredRoots | undefined> {
    // Before the Secret, which is always created before the first bundle is published.
    const published = await readRoots(this.#options.client, this.#options.namespace);
    const secret = await this.#get();
    if (secret !== undefined) return this.#take(secret);
    if (published === undefined) return undefined;
    throw new Error(
      `${this.place} is missing while ConfigMap ${published} has a root of this mesh: ${ADVICE}; or, where no workload lives by it, ` +
        'delete the ConfigMap to start with a new root',
    );
  }

  async create(root: StoredRoot): Promise<StoredRoots> {
    const { client, namespace, passphrase, logger } = this.#options;
    const held = new Map([[root.id, { root, keyPem: await protectKey(root.keyPem, passphrase) }]]);
    const state: RootState = { format: 1, issuing: root.id, trusted: [root.id] };
    const metadata = { namespace, name: ROOT_SECRET, annotations: { [WRITER]: this.#writer } };
    try {
      const secret = await client.create(resourceTypes.secrets, {
        metadata,
        type: SECRET_TYPE,
        data: render(state, held),
      });
      logger.info({ root: root.id, secret: this.place }, 'made a new root');
      return this.#take(secret);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      logger.info({ secret: this.place }, 'another replica made the root');
      return this.reload();
    }
  }

  /** Reads what is there now. @throws Error naming what cannot be used */
  async reload(): Promise<StoredRoots> {
    const secret = await this.#get();
    if (secret === undefined) throw new Error(`${this.place} is missing; ${ADVICE}`);
    return this.#take(secret);
  }

  /**
   * Makes this replica the writer: reads what is there, and changes it, so that nothing that an earlier writer has under way
   * can be written any more. Call it when leadership begins.
   * @param term differs each time that leadership begins
   */
  async claim(term: string): Promise<StoredRoots> {
    const { passphrase, writer, logger } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const stored = await this.reload();
      if (passphrase !== undefined) {
        for (const [id, { root, keyPem }] of this.#held) {
          if (isEncryptedPrivateKey(keyPem)) continue;
          this.#held.set(id, { root, keyPem: await protectKey(root.keyPem, passphrase) });
          logger.info({ secret: this.place, root: id }, "encrypted the root's key with the passphrase");
        }
      }
      this.#options.mayWrite();
      this.#writer = `${writer}/${term}`;
      try {
        await this.#put(render(stored.state, this.#held));
        this.#claimed = true;
        return stored;
      } catch (error) {
        if (!isConflict(error) || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  /** Leadership has ended: from here on others are followed. */
  release(): void {
    this.#claimed = false;
  }

  async add(root: StoredRoot): Promise<void> {
    const keyPem = await protectKey(root.keyPem, this.#options.passphrase);
    const held = new Map(this.#held).set(root.id, { root, keyPem });
    await this.#write(this.#present(), held);
  }

  async commit(state: RootState): Promise<void> {
    await this.#write(state, this.#held);
  }

  /** Other replicas follow the Secret, and everybody else the ConfigMaps. */
  async publish(): Promise<void> {}

  async erase(id: string): Promise<void> {
    const held = new Map(this.#held);
    held.delete(id);
    await this.#write(this.#present(), held);
  }

  expired({ id, certificate }: StoredRoot): Error {
    return new Error(
      `the root ${id} in ${this.place} has expired on ${new Date(certificate.validTo).toISOString()}, and so has every certificate of it; ` +
        `delete the Secret and ConfigMap ${this.#options.namespace}/istio-ca-root-cert to start with a new root (every workload must then get the new root and a new certificate)`,
    );
  }

  /** Creates the Secret again as this replica knows it, after somebody has deleted it; where another was faster, nothing. */
  async restore(): Promise<void> {
    const { client, mayWrite, logger } = this.#options;
    mayWrite();
    const { metadata, ...secret } = this.#secret as Secret;
    const { name, namespace, labels, annotations } = metadata;
    try {
      this.#secret = await client.create(resourceTypes.secrets, {
        ...secret,
        metadata: { name, namespace, labels, annotations },
        data: render(this.#present(), this.#held),
      });
      logger.warn({ secret: this.place }, 'the Secret of the root was deleted; created it again, with the same root');
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  /** Whether a Secret that a watch brought is what this replica has written itself. */
  isOwn({ metadata }: Secret): boolean {
    return metadata.annotations?.[WRITER] === this.#writer;
  }

  /** What a Secret that a watch brought says; undefined where it says nothing new. @throws Error naming what cannot be used */
  follow(secret: Secret): StoredRoots | undefined {
    if (secret.metadata.resourceVersion === this.#secret?.metadata.resourceVersion) return undefined;
    if (sameData(secret.data, this.#secret?.data)) {
      this.#secret = secret;
      return undefined;
    }
    return this.#take(secret);
  }

  #present(): RootState {
    if (this.#state === undefined) throw new Error(`${this.place} was not read yet`);
    return this.#state;
  }

  async #get(): Promise<Secret | undefined> {
    const { client, namespace } = this.#options;
    try {
      return await client.get(resourceTypes.secrets, { namespace, name: ROOT_SECRET });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #take(secret: Secret): StoredRoots {
    const { state, held } = this.#parse(secret);
    this.#secret = secret;
    this.#state = state;
    this.#held = held;
    const roots = new Map(state.trusted.map((id) => [id, (held.get(id) as Held).root]));
    return { state, roots };
  }

  #parse({ data = {} }: Secret): { state: RootState; held: Map<string, Held> } {
    const name = (key: string) => `${key} of ${this.place}`;
    const text = (key: string) => {
      if (data[key] === undefined || data[key] === '') throw new Error(`${name(key)} is missing; ${ADVICE}`);
      return Buffer.from(data[key], 'base64').toString('utf8');
    };
    const held = new Map<string, Held>();
    const read = (certKey: string, keyKey: string) => {
      const keyPem = text(keyKey);
      const pair = { key: keyPem, keyName: name(keyKey), cert: text(certKey), certName: name(certKey) };
      const root = readRoot(pair, this.#options.passphrase);
      held.set(root.id, { root, keyPem });
      return root.id;
    };
    const issuing = read(SIGNING.cert, SIGNING.key);
    // Istio's own Citadel keeps no more than the one root.
    const state: RootState =
      data[STATE] === undefined ? { format: 1, issuing, trusted: [issuing] } : parseRootState(text(STATE), name(STATE));
    if (state.issuing !== issuing)
      throw new Error(
        `${name(SIGNING.cert)} is the certificate of ${issuing}, and not of ${state.issuing}, which ${STATE} names; ${ADVICE}`,
      );
    for (const key of Object.keys(data)) {
      const id = /^root-([0-9a-f]{16})\.cert\.pem$/.exec(key)?.[1];
      if (id === undefined) continue;
      const found = read(key, keyOf(id));
      if (found !== id) throw new Error(`${name(key)} is the certificate of another root, ${found}; ${ADVICE}`);
    }
    const lost = state.trusted.find((id) => !held.has(id));
    if (lost !== undefined) throw new Error(`${name(certOf(lost))} is missing, and trusted; ${ADVICE}`);
    return { state, held };
  }

  async #write(state: RootState, held: Map<string, Held>): Promise<void> {
    const data = render(state, held);
    for (let attempt = 1; ; attempt++) {
      this.#options.mayWrite();
      try {
        await this.#put(data);
        break;
      } catch (error) {
        if (!isConflict(error) || attempt === MAX_ATTEMPTS) throw error;
        await this.#refresh(error as Error);
      }
    }
    this.#state = state;
    this.#held = held;
  }

  /** After a conflict: goes on where only labels and the like have changed. @throws NotTheWriterError where more has */
  async #refresh(cause: Error): Promise<void> {
    const now = await this.#get();
    if (now === undefined || !this.isOwn(now) || !sameData(now.data, this.#secret?.data))
      throw new NotTheWriterError(
        `${this.place} was changed by ${now?.metadata.annotations?.[WRITER] ?? 'somebody else'}; this replica writes nothing more`,
        { cause },
      );
    this.#secret = now;
  }

  async #put(data: Record<string, string>): Promise<void> {
    const { client } = this.#options;
    const secret = this.#secret as Secret;
    const { metadata } = secret;
    if (!metadata.resourceVersion) throw new Error(`${this.place} was read without a version`);
    const annotations = { ...metadata.annotations, [WRITER]: this.#writer };
    this.#secret = await client.update(resourceTypes.secrets, {
      ...secret,
      metadata: { ...metadata, annotations },
      data,
    });
  }
}

function render(state: RootState, held: ReadonlyMap<string, Held>): Record<string, string> {
  const signing = held.get(state.issuing) as Held;
  const others = [...held].filter(([id]) => id !== state.issuing);
  const texts: [string, string][] = [
    [SIGNING.cert, signing.root.certPem],
    [SIGNING.key, signing.keyPem],
    [CHAIN, ''],
    [BUNDLE, state.trusted.map((id) => (held.get(id) as Held).root.certPem).join('')],
    [STATE, `${JSON.stringify(state, null, 2)}\n`],
    ...others.flatMap(([id, { root, keyPem }]): [string, string][] => [
      [certOf(id), root.certPem],
      [keyOf(id), keyPem],
    ]),
  ];
  return Object.fromEntries(texts.map(([key, text]) => [key, Buffer.from(text).toString('base64')]));
}

const certOf = (id: string) => `root-${id}.cert.pem`;
const keyOf = (id: string) => `root-${id}.key.pem`;

function sameData(one: Secret['data'] = {}, other: Secret['data'] = {}): boolean {
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => one[key] === other[key]);
}
