// Checks of a cluster after an installation: whether everything runs, whether webhooks answer, how long certificates last.

import { X509Certificate } from 'node:crypto';
import { addressOf, objectName, REVISION_LABEL, SYSTEM_NAMESPACE, type WholeValues } from '@lateen/installation';
import { ApiError, type CustomResource, isNotFound, type KubeClient, resourceTypes } from '@lateen/kubernetes';
import { VERSION } from '../../version.js';
import { claimsInjectionLabel, INJECTORS, installedTags, manifestsFor } from '../injector-tags.js';
import type { InstallationRecord } from '../installation-record.js';
import { installedRevisions } from '../installed-objects.js';
import { ObjectWriter } from '../object-writer.js';
import { pendingReason } from '../rollout.js';
import { type Finding, fault, ok, warning } from './finding.js';

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

/** What is looked at once a revision is installed. */
export async function installedFindings(
  client: KubeClient,
  values: WholeValues,
  record: InstallationRecord | undefined,
): Promise<readonly Finding[]> {
  const writer = new ObjectWriter(client);
  const results = await Promise.all([
    releaseFindings(record),
    rolloutFindings(writer, values),
    webhookFindings(client, writer, values),
    rootFindings(client),
    namespaceFindings(client, writer),
  ]);
  return results.flat();
}

function releaseFindings(record: InstallationRecord | undefined): readonly Finding[] {
  if (record === undefined)
    return [warning('release', 'it was not installed by lateenctl; what is expected is as its profile says')];
  if (record.version === VERSION) return [ok('release', `${VERSION}, as this program`)];
  return [
    warning(
      'release',
      `${record.version} is installed, and this program is ${VERSION}: lateenctl upgrade, or take the program of that release`,
    ),
  ];
}

async function rolloutFindings(writer: ObjectWriter, values: WholeValues): Promise<readonly Finding[]> {
  const objects = await manifestsFor(writer, values);
  const watched = objects.filter(({ kind }) => kind === 'Deployment' || kind === 'CustomResourceDefinition');
  const reasons = await Promise.all(
    watched.map(async (object) => [object, await pendingReason(writer, object)] as const),
  );
  const pending = reasons.filter(([, reason]) => reason !== undefined);
  if (pending.length === 0)
    return [ok('rollout', `${watched.filter(({ kind }) => kind === 'Deployment').length} deployments are ready`)];
  return pending.map(([object, reason]) =>
    fault(
      'rollout',
      `${objectName(object)}: ${reason}; see kubectl -n ${SYSTEM_NAMESPACE} get pods, and lateenctl verify-install`,
    ),
  );
}

interface WebhookConfiguration {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly failurePolicy?: string;
    readonly clientConfig: { readonly caBundle?: string };
  }[];
}

async function webhookFindings(
  client: KubeClient,
  writer: ObjectWriter,
  values: WholeValues,
): Promise<readonly Finding[]> {
  const objects = await manifestsFor(writer, values);
  const configurations = objects.filter(({ kind }) => kind.endsWith('WebhookConfiguration'));
  const found: Finding[] = [];
  for (const object of configurations) {
    const live = (await writer.read(object)) as WebhookConfiguration | undefined;
    const name = objectName(object);
    if (live === undefined) {
      found.push(fault('webhooks', `${name} is not there; lateenctl install puts it back`));
      continue;
    }
    const without = (live.webhooks ?? []).filter(({ clientConfig }) => !clientConfig.caBundle);
    if (without.length > 0) {
      found.push(
        fault(
          'webhooks',
          `${name} has no caBundle, so that the API server cannot trust Galley: Galley writes it once it has a certificate; see its log`,
        ),
      );
    }
    if (object.kind.startsWith('Validating') && live.webhooks?.some(({ failurePolicy }) => failurePolicy !== 'Fail')) {
      found.push(
        warning(
          'webhooks',
          `${name} lets everything pass while Galley is away (failurePolicy Ignore): Galley makes it strict once it answers; see its log`,
        ),
      );
    }
  }
  if (found.length === 0) found.push(...(await answerFindings(client, values)));
  return found;
}

/** Whether the API server reaches Galley: a document that must be refused is offered to it, and not kept. */
async function answerFindings(client: KubeClient, values: WholeValues): Promise<readonly Finding[]> {
  const type = {
    group: 'networking.istio.io',
    version: 'v1',
    kind: 'VirtualService',
    plural: 'virtualservices',
    namespaced: true,
  };
  const labels: Record<string, string> = values.revision === 'default' ? {} : { [REVISION_LABEL]: values.revision };
  const offered: CustomResource = {
    metadata: { name: 'lateenctl-check', namespace: SYSTEM_NAMESPACE, labels },
    // Two weights that do not add up to anything: the schema takes them, and Galley does not.
    spec: {
      hosts: ['lateenctl-check'],
      http: [
        {
          route: [
            { destination: { host: 'a' }, weight: 0 },
            { destination: { host: 'b' }, weight: 0 },
          ],
        },
      ],
    },
  };
  try {
    await client.create(type, offered, { dryRun: true });
    return [
      fault(
        'webhooks',
        'the API server takes a document that Galley must refuse: it does not ask Galley; see its ValidatingWebhookConfigurations',
      ),
    ];
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof ApiError && /denied the request/.test(message))
      return [ok('webhooks', `the API server reaches ${addressOf('galley', 443, values)}`)];
    return [
      fault(
        'webhooks',
        `the API server does not reach Galley: ${message}; NetworkPolicies and firewalls must let it to port 15017`,
      ),
    ];
  }
}

async function rootFindings(client: KubeClient): Promise<readonly Finding[]> {
  const ref = { namespace: SYSTEM_NAMESPACE, name: 'istio-ca-root-cert' };
  try {
    const { data } = await client.get(resourceTypes.configMaps, ref);
    return bundleFindings(data?.['root-cert.pem'] ?? '', Date.now());
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return [
      fault(
        'root',
        `ConfigMap ${ref.namespace}/${ref.name} is not there: Citadel writes it; see kubectl -n ${SYSTEM_NAMESPACE} logs deployment/citadel`,
      ),
    ];
  }
}

/** @param pem the roots that proxies trust */
export function bundleFindings(pem: string, nowMs: number): Finding[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0)
    return [
      fault(
        'root',
        'the trust bundle has no certificate: delete the ConfigMap istio-ca-root-cert, and Citadel writes it again',
      ),
    ];
  const ends = blocks.map((block) => Date.parse(new X509Certificate(block).validTo));
  const last = Math.max(...ends);
  const days = Math.floor((last - nowMs) / DAY_MS);
  const date = new Date(last).toISOString().slice(0, 10);
  if (last <= nowMs) return [fault('root', `every root of the mesh has expired (${date}): lateenctl ca rotate-root`)];
  if (days < SOON_DAYS)
    return [warning('root', `the last root of the mesh expires in ${days} days (${date}): lateenctl ca rotate-root`)];
  return [ok('root', `${blocks.length === 1 ? 'one root' : `${blocks.length} roots`}, to ${date}`)];
}

/** Namespaces that ask for a revision that is not there get no pod: their injector does not exist, so they stay out of the mesh. */
async function namespaceFindings(client: KubeClient, writer: ObjectWriter): Promise<readonly Finding[]> {
  const [namespaces, revisions, tags, injectors] = await Promise.all([
    client.listAll(resourceTypes.namespaces),
    installedRevisions(writer),
    installedTags(writer),
    writer.list(INJECTORS, ''),
  ]);
  const known = new Set([...revisions, ...tags.map(({ tag }) => tag)]);
  const asked = namespaces.items.flatMap(({ metadata: { name, labels = {} } }) => {
    const revision = labels[REVISION_LABEL];
    return revision === undefined || known.has(revision) ? [] : [{ name, revision }];
  });
  const both = namespaces.items.filter(
    ({ metadata: { labels = {} } }) => labels['istio-injection'] === 'enabled' && labels[REVISION_LABEL] !== undefined,
  );
  const labelled = namespaces.items.filter(
    ({ metadata: { labels = {} } }) => labels['istio-injection'] === 'enabled' && labels[REVISION_LABEL] === undefined,
  );
  const unanswered = injectors.some(claimsInjectionLabel) ? [] : labelled;
  const dangling = tags.filter(({ revision }) => !revisions.includes(revision));
  const found = [
    ...asked.map(({ name, revision }) =>
      warning(
        'namespaces',
        `namespace ${name} asks for revision ${revision}, which is not installed: its pods stay out of the mesh; installed: ${[...known].join(', ')}`,
      ),
    ),
    ...both.map(({ metadata: { name } }) =>
      warning('namespaces', `namespace ${name} has istio-injection and istio.io/rev: the first counts; take one away`),
    ),
    ...unanswered.map(({ metadata: { name } }) =>
      warning(
        'namespaces',
        `namespace ${name} has istio-injection=enabled, which no revision answers for: its pods stay out of the mesh; lateenctl tag set default --revision NAME`,
      ),
    ),
    ...dangling.map(({ tag, revision }) =>
      fault(
        'namespaces',
        `the tag ${tag} means revision ${revision}, which is not installed: no pod can be made in its namespaces; lateenctl tag set ${tag} --revision NAME --overwrite`,
      ),
    ),
  ];
  return found.length > 0 ? found : [ok('namespaces', `${injectors.length} injectors, none of them asked for in vain`)];
}
