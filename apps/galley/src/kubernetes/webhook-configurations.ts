// Kubernetes, leader only: webhook configurations trust the roots of the present, and validation fails closed once it works.
import {
  ApiError,
  Informer,
  isNotFound,
  type KubeClient,
  type ResourceType,
  resourceTypes,
  type WebhookConfiguration,
} from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import { DEFAULT_REVISION } from './revision-name.js';

export interface WebhookConfigurationsOptions {
  readonly client: KubeClient;
  /** Of the control plane: only webhooks that call Services there are touched. */
  readonly namespace: string;
  /** PEM of all trust roots. */
  readonly roots: () => string | undefined;
  readonly isLeader: () => boolean;
  readonly logger: Logger;
  /** Between attempts to see validation work. */
  readonly probeMs?: number;
}

/** Name of the configuration → is it for validation, and of which revision. */
const NAME = /^lateen-(validator|sidecar-injector)(?:-(.+))?$/;
const PROBE_MS = 1_000;

/** The configuration of every revision is kept, since there is one leader for all of them. */
export class WebhookConfigurations {
  readonly #options: WebhookConfigurationsOptions;
  readonly #informers: readonly Informer<WebhookConfiguration>[];
  /** Revisions whose validation was seen to refuse what is not valid. */
  readonly #proven = new Set<string>();
  /** Why not, of the others. */
  readonly #unproven = new Map<string, string>();
  #running: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: WebhookConfigurationsOptions) {
    this.#options = options;
    const { client, logger } = options;
    const { validatingWebhooks, mutatingWebhooks } = resourceTypes;
    this.#informers = [validatingWebhooks, mutatingWebhooks].map((type) => {
      const onError = (error: Error | undefined) => error && logger.warn({ error }, `webhooks: ${error.message}`);
      return new Informer<WebhookConfiguration>({ client, type, onError });
    });
    for (const informer of this.#informers) informer.subscribe(() => this.refresh());
  }

  start(): this {
    for (const informer of this.#informers) informer.start();
    return this;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await Promise.all(this.#informers.map((informer) => informer.stop()));
    await this.#running;
  }

  /** Looks at everything again: the roots are others, or this replica leads now. */
  refresh(): void {
    if (this.#stopped || !this.#options.isLeader()) return;
    clearTimeout(this.#timer);
    this.#again = true;
    this.#running ??= this.#refreshAll().finally(() => {
      this.#running = undefined;
      // What came after the last look and before this.
      if (this.#again) this.refresh();
    });
  }

  async #refreshAll(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      let isDone = true;
      for (const informer of this.#informers) {
        for (const configuration of informer.objects()) {
          try {
            isDone = (await this.#keep(configuration)) && isDone;
          } catch (error) {
            isDone = false;
            this.#failed(configuration, error as Error);
          }
        }
      }
      if (!isDone && !this.#stopped) {
        this.#timer = setTimeout(() => this.refresh(), this.#options.probeMs ?? PROBE_MS);
      }
    }
  }

  /** False when it has to be looked at again. */
  async #keep(configuration: WebhookConfiguration): Promise<boolean> {
    const { client, namespace, roots, isLeader, logger } = this.#options;
    const { name, resourceVersion } = configuration.metadata;
    const [, purpose, revision = DEFAULT_REVISION] = NAME.exec(name) ?? [];
    const rootsPem = roots();
    if (purpose === undefined || rootsPem === undefined) return true;
    const caBundle = Buffer.from(rootsPem).toString('base64');
    const operations: object[] = [];
    let mustFailClosed = false;
    for (const [index, { clientConfig, failurePolicy }] of (configuration.webhooks ?? []).entries()) {
      if (clientConfig.service?.namespace !== namespace) continue;
      const path = `/webhooks/${index}`;
      if (clientConfig.caBundle !== caBundle) {
        operations.push({ op: 'add', path: `${path}/clientConfig/caBundle`, value: caBundle });
      }
      if (purpose !== 'validator' || failurePolicy === 'Fail') continue;
      // Not before the API server trusts us: until then it cannot work.
      if (operations.length === 0 && (await this.#isProven(revision))) {
        operations.push({ op: 'replace', path: `${path}/failurePolicy`, value: 'Fail' });
      } else mustFailClosed = true;
    }
    if (operations.length > 0 && isLeader()) {
      // Refused when somebody changed it meanwhile, whose webhooks may stand in another order.
      const test = { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
      await client.patch(typeOf(purpose), { name }, { json: [test, ...operations] });
      logger.info({ configuration: name, operations: operations.length }, 'webhook configuration brought up to date');
    }
    return !mustFailClosed;
  }

  /**
   * Whether the API server refuses, through our webhook, what is not valid. The Gateway is one that its definition takes and
   * Galley does not; nothing is ever stored, since it is a dry run.
   */
  async #isProven(revision: string): Promise<boolean> {
    if (this.#proven.has(revision)) return true;
    const { client, namespace, logger } = this.#options;
    const labels = revision === DEFAULT_REVISION ? {} : { 'istio.io/rev': revision };
    const metadata = { name: 'lateen-invalid', namespace, labels, annotations: { 'istio.io/dry-run': 'true' } };
    const servers = [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['invalid.lateen.io'] }];
    const gateway = { metadata, spec: { selector: { istio: 'nobody' }, servers } };
    let reason = 'what is not valid was accepted: the webhook is not called yet';
    try {
      await client.create(GATEWAYS, gateway as never, { dryRun: true });
    } catch (error) {
      if (error instanceof ApiError && /denied the request/.test(error.message)) {
        this.#proven.add(revision);
        logger.info({ revision }, 'validation works: from now on what cannot be validated is refused');
        return true;
      }
      reason = (error as Error).message;
    }
    if (reason !== this.#unproven.get(revision)) {
      logger.warn({ revision, reason }, `validation does not work yet, so it is not insisted on: ${reason}`);
    }
    this.#unproven.set(revision, reason);
    return false;
  }

  #failed({ metadata: { name } }: WebhookConfiguration, error: Error): void {
    // Changed or gone meanwhile: its informer brings what it is now.
    if (isNotFound(error) || (error instanceof ApiError && [409, 422].includes(error.code))) return;
    this.#options.logger.warn({ configuration: name, error }, `webhook configuration: ${error.message}`);
  }
}

const GATEWAYS: ResourceType = {
  group: 'networking.istio.io',
  version: 'v1',
  kind: 'Gateway',
  plural: 'gateways',
  namespaced: true,
};

function typeOf(purpose: string): ResourceType<WebhookConfiguration> {
  return purpose === 'validator' ? resourceTypes.validatingWebhooks : resourceTypes.mutatingWebhooks;
}
