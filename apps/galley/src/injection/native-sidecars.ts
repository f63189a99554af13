// Injection: whether the API server knows native sidecars, by its version; asked again now and then, since clusters are upgraded
// while Galley runs.
import type { KubeClient } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';

/** Init containers with `restartPolicy: Always` are on by default since Kubernetes 1.29. */
const SINCE_MINOR = 29;
const ASK_AGAIN_MS = 600_000;
const TIME_LIMIT_MS = 2_000;

export class NativeSidecars {
  readonly #client: KubeClient;
  readonly #logger: Logger;
  readonly #now: () => number;
  /** Until the API server has said so: it asks us, so that it is there, and old ones are few. */
  #known = true;
  #askedAt: number | undefined;

  constructor(client: KubeClient, logger: Logger, now = () => performance.now()) {
    this.#client = client;
    this.#logger = logger;
    this.#now = now;
  }

  async areKnown(): Promise<boolean> {
    const now = this.#now();
    if (this.#askedAt !== undefined && now - this.#askedAt < ASK_AGAIN_MS) return this.#known;
    try {
      const request = { method: 'GET', path: '/version', signal: AbortSignal.timeout(TIME_LIMIT_MS) } as const;
      const version = await this.#client.json<{ major?: string; minor?: string }>('get version', request);
      this.#known = isNew(version);
      this.#askedAt = now;
    } catch (error) {
      this.#logger.warn(
        { error },
        `injection: the version of the API server is not known: ${(error as Error).message}`,
      );
    }
    return this.#known;
  }
}

/** Some distributions write `29+`. */
function isNew({ major = '1', minor = '' }: { major?: string; minor?: string }): boolean {
  const number = Number.parseInt(minor, 10);
  return Number(major) > 1 || Number.isNaN(number) || number >= SINCE_MINOR;
}
