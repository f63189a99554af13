// Settings: which workload a pod belongs to, read off its owner, and the names that services go by in telemetry.

import { labelsOf, type OwnerReference, type Pod } from '../pod.js';

export interface Workload {
  readonly name: string;
  readonly kind: string;
  readonly apiVersion: string;
  /** As Istio writes it: `kubernetes://apis/apps/v1/namespaces/NS/deployments/NAME`. */
  readonly owner: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
}

interface Reference {
  readonly name: string;
  readonly kind: string;
  readonly apiVersion: string;
}

const MAX_LABEL = 63;
/** What a CronJob adds to the names of its Jobs: minutes since 1970, or seconds in old versions. */
const CRON_SUFFIX = /-\d{8,11}$/;

/** `named` is what is injected where that is no pod itself: a Deployment in a file. */
export function workloadOf(pod: Pod, namespace: string, named?: Reference): Workload {
  const reference = named ?? ownerOf(pod);
  const labels = labelsOf(pod);
  const plural = `${reference.kind.toLowerCase()}s`;
  const group = reference.apiVersion.includes('/') ? `apis/${reference.apiVersion}` : `api/${reference.apiVersion}`;
  const canonical = [
    labels['service.istio.io/canonical-name'],
    labels['app.kubernetes.io/name'],
    labels.app,
    reference.name,
  ].find((each) => each !== undefined && each !== '');
  const revision = [
    labels['service.istio.io/canonical-revision'],
    labels['app.kubernetes.io/version'],
    labels.version,
  ].find((each) => each !== undefined && each !== '');
  return {
    ...reference,
    owner: `kubernetes://${group}/namespaces/${namespace}/${plural}/${reference.name}`,
    canonicalName: (canonical ?? 'unknown').slice(0, MAX_LABEL).replace(/[-_.]+$/, ''),
    canonicalRevision: revision ?? 'latest',
  };
}

function ownerOf(pod: Pod): Reference {
  const { metadata = {} } = pod;
  const generated = metadata.generateName?.replace(/-$/, '');
  const itself = { name: metadata.name ?? generated ?? '', kind: 'Pod', apiVersion: 'v1' };
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  return owner === undefined ? itself : ownerAbove(owner, labelsOf(pod)['pod-template-hash']);
}

/** The workload above a ReplicaSet or a Job, whose names its owner has made. */
function ownerAbove({ name = '', kind = '', apiVersion = '' }: OwnerReference, hash: string | undefined): Reference {
  if (kind === 'ReplicaSet' && hash !== undefined && name.endsWith(`-${hash}`)) {
    return { name: name.slice(0, -hash.length - 1), kind: 'Deployment', apiVersion };
  }
  if (kind === 'Job' && CRON_SUFFIX.test(name)) {
    return { name: name.replace(CRON_SUFFIX, ''), kind: 'CronJob', apiVersion };
  }
  return { name, kind, apiVersion };
}
