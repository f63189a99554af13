// Checks of a cluster before anything is installed: its version, what we may do there, clocks, and other meshes.

import { buildManifests, type KubernetesObject, PART_OF, type WholeValues } from '@lateen/installation';
import type { KubeClient } from '@lateen/kubernetes';
import { claimsInjectionLabel, INJECTORS } from '../injector-tags.js';
import { ObjectWriter } from '../object-writer.js';
import { type Finding, fault, ok, warning } from './finding.js';

/** Kubernetes 1.28 is the first with native sidecars. */
const OLDEST_MINOR = 28;
const MOST_CLOCK_SKEW_MS = 5_000;
const BAD_CLOCK_SKEW_MS = 60_000;

/** What is looked at before `install` and by `lateenctl check`. */
export async function preflight(client: KubeClient, values: WholeValues): Promise<readonly Finding[]> {
  const writer = new ObjectWriter(client);
  const results = await Promise.all([
    serverFindings(client),
    permissionFindings(client, writer, values),
    otherMeshFindings(writer, values),
  ]);
  return results.flat();
}

async function serverFindings(client: KubeClient): Promise<readonly Finding[]> {
  const askedAtMs = Date.now();
  const response = await client.open('ask for the version', { method: 'GET', path: '/version' });
  const answeredAtMs = Date.now();
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const said = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
    major: string;
    minor: string;
    gitVersion: string;
  };
  return [versionFinding(said), ...clockFindings(response.headers.date, askedAtMs, answeredAtMs)];
}

/** @param said of /version; minor may have a suffix such as `28+` */
export function versionFinding({
  major,
  minor,
  gitVersion,
}: {
  major: string;
  minor: string;
  gitVersion: string;
}): Finding {
  const number = Number.parseInt(minor, 10);
  if (major !== '1' || Number.isNaN(number))
    return warning('version', `Kubernetes ${gitVersion} is not known here; 1.${OLDEST_MINOR} and later are`);
  if (number < OLDEST_MINOR)
    return fault(
      'version',
      `Kubernetes ${gitVersion} is too old: native sidecars came with 1.${OLDEST_MINOR}; upgrade the cluster`,
    );
  return ok('version', `Kubernetes ${gitVersion}`);
}

/** Certificates hold from a moment on: a clock that is behind takes new ones for not yet valid. */
export function clockFindings(date: string | undefined, askedAtMs: number, answeredAtMs: number): Finding[] {
  const serverMs = Date.parse(date ?? '');
  if (Number.isNaN(serverMs)) return [];
  // The header has whole seconds: anything within the second, or while the question was under way, is no skew.
  const skewMs = serverMs > answeredAtMs ? serverMs - answeredAtMs : Math.max(0, askedAtMs - (serverMs + 1_000));
  const seconds = Math.round(skewMs / 1000);
  if (skewMs > BAD_CLOCK_SKEW_MS)
    return [
      fault(
        'clock',
        `this machine and the API server are ${seconds} s apart: set the clocks (NTP), else certificates are refused`,
      ),
    ];
  if (skewMs > MOST_CLOCK_SKEW_MS)
    return [warning('clock', `this machine and the API server are ${seconds} s apart: set the clocks (NTP)`)];
  return [ok('clock', 'this machine and the API server agree')];
}

interface AccessReview {
  readonly status?: { readonly allowed?: boolean; readonly reason?: string };
}

/** Whether we may do what an installation does: each kind that it has, where it has it. */
async function permissionFindings(
  client: KubeClient,
  writer: ObjectWriter,
  values: WholeValues,
): Promise<readonly Finding[]> {
  const objects = buildManifests(values).flatMap((component) => component.objects);
  const places = new Map<string, Pick<KubernetesObject, 'apiVersion' | 'kind'> & { namespace?: string }>();
  for (const { apiVersion, kind, metadata } of objects) {
    places.set(`${kind} ${metadata.namespace ?? ''}`, { apiVersion, kind, namespace: metadata.namespace });
  }
  const refused: string[] = [];
  for (const { apiVersion, kind, namespace } of places.values()) {
    const type = await writer.typeOf({ apiVersion, kind });
    if (type === undefined) {
      refused.push(`${kind} (the API server does not serve ${apiVersion})`);
      continue;
    }
    for (const verb of ['create', 'patch', 'delete']) {
      const review = await client.json<AccessReview>('ask what we may do', {
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes: { verb, group: type.group, resource: type.plural, namespace } },
        },
      });
      if (review.status?.allowed !== true)
        refused.push(`${verb} ${type.plural}${namespace === undefined ? '' : ` in ${namespace}`}`);
    }
  }
  if (refused.length === 0) return [ok('permissions', 'all that an installation needs may be done')];
  return [
    fault('permissions', `you may not: ${refused.join(', ')}; ask for a role that may (cluster-admin has all of it)`),
  ];
}

/** Two meshes that inject the same pods make pods that do not start. */
async function otherMeshFindings(writer: ObjectWriter, values: WholeValues): Promise<readonly Finding[]> {
  const injectors = await writer.list(INJECTORS, '');
  const others = injectors.filter(({ metadata }) => metadata.labels?.[PART_OF] !== 'lateen');
  const found = others.flatMap(({ metadata: { name }, ...rest }): Finding[] => {
    const whole = { metadata: { name }, ...rest } as KubernetesObject;
    if (claimsInjectionLabel(whole) && values.revision === 'default') {
      return [
        fault(
          'other-mesh',
          `MutatingWebhookConfiguration ${name} of another mesh injects namespaces with istio-injection=enabled too; install with --revision NAME beside it, or remove it`,
        ),
      ];
    }
    if (/istio|linkerd|kuma|consul-connect/.test(name)) {
      return [
        warning(
          'other-mesh',
          `another mesh is installed (MutatingWebhookConfiguration ${name}): see that no namespace is in both`,
        ),
      ];
    }
    return [];
  });
  return found.length === 0 ? [ok('other-mesh', 'no other mesh injects here')] : found;
}
