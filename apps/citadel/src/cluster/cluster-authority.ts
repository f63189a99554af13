// Cluster: the authority from Secrets: `cacerts` where it is there, else a root of our own, which the leader writes and the others follow.

import { Informer, type KubeClient, resourceTypes, type Secret } from '@lateen/kubernetes';
import type { Rotation } from '@lateen/telemetry';
import {
  type AuthoritySource,
  type AuthoritySourceOptions,
  heldBy,
  RotationRefused,
  rotationStatus,
  standing,
} from '../authority/authority-source.js';
import { Holders } from '../authority/holders.js';
import { OwnRoots } from '../authority/own-roots.js';
import { PluggedInAuthority } from '../authority/plugged-in-authority.js';
import { RootRotation } from '../authority/root-rotation.js';
import { CaSecret } from './ca-secret.js';
import type { Leadership } from './leadership.js';
import { NotTheWriterError, ROOT_SECRET, SecretRootStore } from './secret-root-store.js';

export interface ClusterAuthorityOptions
  extends Omit<AuthoritySourceOptions, 'stateDir' | 'caDir' | 'auditFile' | 'lease' | 'onFailure'> {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly leadership: Leadership;
  /** Who we are: the pod's name. */
  readonly podName: string;
}

/** Reads or makes what signs; what only the leader does is added to the leadership, to be started by the caller. @throws Error naming the Secret that cannot be used */
export async function openClusterAuthority(options: ClusterAuthorityOptions): Promise<AuthoritySource> {
  const { client, namespace, logger } = options;
  const caSecret = new CaSecret(client, namespace, logger);
  await caSecret.start();
  try {
    return await (caSecret.isThere ? openPluggedIn(options, caSecret) : openOwnRoots(options, caSecret));
  } catch (error) {
    await caSecret.stop();
    throw error;
  }
}

async function openPluggedIn(options: ClusterAuthorityOptions, source: CaSecret): Promise<AuthoritySource> {
  const { leadership } = options;
  const authority = await PluggedInAuthority.open({ ...options, source });
  return {
    authority,
    status: () => ({
      ...standing(authority, options),
      source: 'plugged-in CA',
      writer: leadership.holder,
      problem: authority.problem,
    }),
    rotateRoot: async () => {
      throw new RotationRefused(
        `the CA comes from ${source.name}, and its root is not Citadel's to replace: add the new root to root-cert.pem there, ` +
          'then change the other keys',
      );
    },
    issued: () => undefined,
    close: async () => {
      await authority.close();
      await source.stop();
    },
  };
}

async function openOwnRoots(options: ClusterAuthorityOptions, caSecret: CaSecret): Promise<AuthoritySource> {
  const { client, namespace, leadership, podName, passphrase, audit, logger } = options;
  let opening = true;
  const store = new SecretRootStore({
    ...{ client, namespace, passphrase, logger },
    writer: podName,
    mayWrite: () => {
      // While nobody is open nobody leads; what is written then is conditional as everything else.
      if (!opening && !leadership.isLeader)
        throw new NotTheWriterError(`${podName} is not the leader (${leadership.holder || 'nobody'} is)`);
    },
  });
  const roots = await OwnRoots.open({
    ...options,
    store,
    ttlSeconds: options.rootTtlSeconds,
    keyType: options.rootKeyType,
  });
  opening = false;
  const holders = new Holders();
  const record = (step: string, { from, to, requestedBy, graceSeconds }: Rotation) =>
    audit.write({ event: 'rotation', step, from, to, requestedBy, graceSeconds });
  if (roots.skipped !== undefined) await record(roots.skipped.step, roots.skipped);
  let rotation: RootRotation | undefined;
  const follower = new Follower(options, store, roots);
  leadership.add({
    begin: async (term) => {
      await roots.follow(await store.claim(term));
      rotation = new RootRotation({
        ...{ roots, holders, record, logger },
        // What this replica has issued it knows; other replicas' certificates, and those of its own past, it does not.
        readHolders: async () => undefined,
        journalIsComplete: false,
        ...(options.rotationSettleMs === undefined ? {} : { settleMs: options.rotationSettleMs }),
        onFailure: (error) => leadership.yield(error.message),
      });
      await rotation.resume();
    },
    end: async () => {
      await rotation?.stop();
      rotation = undefined;
      store.release();
      follower.catchUp();
    },
  });
  follower.start();
  const problem = () =>
    caSecret.isThere
      ? `${caSecret.name} is there and not in use: a change of roots under running workloads would cut them off; add its root to theirs first, then restart Citadel`
      : follower.problem;
  return {
    authority: roots,
    status: () => ({
      ...standing(roots, options),
      ...rotationStatus(rotation?.status ?? { rotation: roots.state.rotation, last: roots.state.last, waitingFor: [] }),
      source: 'own root',
      writer: leadership.holder,
      problem: problem(),
    }),
    rotateRoot: async (graceSeconds, requestedBy) => {
      if (rotation === undefined)
        throw new RotationRefused(
          leadership.isLeader
            ? 'this replica has just begun to lead; try again'
            : `this replica (${podName}) does not write the root; ask ${leadership.holder || 'again when one leads'}`,
        );
      await rotation.start(graceSeconds, requestedBy);
    },
    issued: (entry) => holders.add(heldBy(entry)),
    close: async () => {
      await follower.stop();
      await caSecret.stop();
    },
  };
}

/** Takes over what another replica has written to the Secret, and has the leader put back what was taken away. */
class Follower {
  readonly #informer: Informer<Secret>;
  #turns: Promise<void> = Promise.resolve();
  /** Why the Secret as it is now is not in use. */
  problem: string | undefined;

  constructor(
    private readonly options: ClusterAuthorityOptions,
    private readonly store: SecretRootStore,
    private readonly roots: OwnRoots,
  ) {
    const { client, namespace, logger } = options;
    this.#informer = new Informer({
      ...{ client, namespace, type: resourceTypes.secrets },
      fieldSelector: `metadata.name=${ROOT_SECRET}`,
      onError: (error) => {
        if (error !== undefined) logger.warn({ reason: error.message }, `${store.place} cannot be followed`);
      },
    });
  }

  start(): void {
    this.#informer.subscribe((changes) => {
      const { object, type } = changes.at(-1)!;
      this.#turns = this.#turns.then(() => (type === 'deleted' ? this.#deleted() : this.#changed(object)));
    });
    this.#informer.start();
  }

  /** What came while this replica was the writer. */
  catchUp(): void {
    const secret = this.#informer.get(this.options.namespace, ROOT_SECRET);
    if (secret !== undefined) this.#turns = this.#turns.then(() => this.#changed(secret));
  }

  async stop(): Promise<void> {
    await this.#informer.stop();
    await this.#turns;
  }

  async #changed(secret: Secret): Promise<void> {
    const { leadership, logger } = this.options;
    try {
      if (this.store.isClaimed) {
        if (!this.store.isOwn(secret)) leadership.yield(`${this.store.place} was changed by somebody else`);
        return;
      }
      const stored = this.store.follow(secret);
      this.problem = undefined;
      if (stored === undefined) return;
      await this.roots.follow(stored);
      const { issuing, trusted, rotation } = stored.state;
      logger.info({ issuing, trusted, step: rotation?.step }, 'following a change of the roots');
    } catch (error) {
      this.problem = `${(error as Error).message}; going on with the last good roots`;
      logger.error({ reason: (error as Error).message }, 'the changed Secret of the root is not used');
    }
  }

  async #deleted(): Promise<void> {
    const { logger } = this.options;
    this.problem = `${this.store.place} was deleted; going on with the last good roots`;
    try {
      if (!this.store.isClaimed) return logger.error({}, this.problem);
      await this.store.restore();
      this.problem = undefined;
    } catch (error) {
      logger.error({ reason: (error as Error).message }, `${this.store.place} was deleted and cannot be created again`);
    }
  }
}
