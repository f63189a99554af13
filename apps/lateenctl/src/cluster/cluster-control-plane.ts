// Cluster: a control plane in a cluster: reached by port-forwards, and talked to as one of the accounts `lateen-viewer`,
// `lateen-editor` and `lateen-admin`, whose tokens RBAC says who may have.

import { type AdminRole, formatSpiffeId, identityFromPem, StaticIdentity } from '@lateen/identity/plain';
import { revisioned, SYSTEM_NAMESPACE } from '@lateen/installation';
import { ApiError, isNotFound, type KubeClient, type Pod, resourceTypes } from '@lateen/kubernetes';
import { readRecord } from '../install/installation-record.js';
import { ADMIN_SERVICES, type AdminEndpoint, type AdminService, type ControlPlane } from '../mesh/control-plane.js';
import { CliError, UnreachableError } from '../output/cli-error.js';
import type { Cluster } from './cluster.js';
import { forwardFailure, type PodChoice, PortForwards } from './port-forward.js';

const ADMIN_PORT = 15_016;
const CERTIFICATE_PORT = 8060;
const AUDIENCE = 'istio-ca';

export interface ClusterPlane {
  readonly controlPlane: ControlPlane;
  readonly forwards: PortForwards;
}

/**
 * Opens forwards to the services of a revision, and gets a certificate for the role.
 * @throws CliError where nothing is installed, the account's token may not be had, or Citadel does not certify it
 */
export async function clusterControlPlane(cluster: Cluster, revision: string, role: AdminRole): Promise<ClusterPlane> {
  const { client, access } = cluster;
  const forwards = new PortForwards(access.kubeConfig);
  try {
    const endpoints = new Map<AdminService, AdminEndpoint>();
    for (const service of ADMIN_SERVICES) {
      endpoints.set(service, await forwards.open(readyPod(client, service, revision), ADMIN_PORT));
    }
    const identity = await certified(client, forwards, revision, role);
    return {
      forwards,
      controlPlane: {
        endpoint: (service) => endpoints.get(service)!,
        identity: () => identity,
        advice: (service) =>
          `${forwards.failure === undefined ? '' : `${forwardFailure(`forwarding to ${service}`, forwards.failure).message}; `}see \`kubectl -n ${SYSTEM_NAMESPACE} get pods\` and \`lateenctl check\``,
      },
    };
  } catch (error) {
    forwards.close();
    throw error;
  }
}

/** A pod of a service that is ready. */
function readyPod(client: KubeClient, service: AdminService, revision: string): PodChoice {
  return async () => {
    const labelSelector = `app=${service},istio.io/rev=${revision}`;
    const { items } = await client.listAll(resourceTypes.pods, { namespace: SYSTEM_NAMESPACE, labelSelector });
    const ready = items.filter(isReady);
    const leader = service === 'citadel' ? await holderOf(client, 'lateen-citadel') : undefined;
    // Only who leads replaces the root.
    const pod = ready.find(({ metadata }) => metadata.name === leader) ?? ready[0];
    if (pod !== undefined) return { namespace: SYSTEM_NAMESPACE, name: pod.metadata.name };
    const there = items.length === 0 ? 'there is none' : `none of ${items.length} is ready`;
    throw new UnreachableError(`no pod of ${revisioned(service, revision)} to talk to (${there}); see lateenctl check`);
  };
}

/** The pod that holds a Lease. */
async function holderOf(client: KubeClient, name: string): Promise<string | undefined> {
  try {
    const { spec } = await client.get(resourceTypes.leases, { namespace: SYSTEM_NAMESPACE, name });
    return spec?.holderIdentity;
  } catch (error) {
    if (error instanceof ApiError && (error.code === 404 || error.code === 403)) return undefined;
    throw error;
  }
}

export function isReady({ metadata, status }: Pod): boolean {
  const { conditions = [] } = (status ?? {}) as { conditions?: readonly { type: string; status: string }[] };
  return (
    metadata.deletionTimestamp === undefined &&
    conditions.some((each) => each.type === 'Ready' && each.status === 'True')
  );
}

async function certified(
  client: KubeClient,
  forwards: PortForwards,
  revision: string,
  role: AdminRole,
): Promise<StaticIdentity> {
  const [rootsPem, token, record] = await Promise.all([
    trustRoots(client),
    roleToken(client, role),
    readRecord(client, revision),
  ]);
  const trustDomain = record?.values.trustDomain ?? 'cluster.local';
  const endpoint = await forwards.open(readyPod(client, 'citadel', revision), CERTIFICATE_PORT);
  // gRPC is loaded by the commands that need it.
  const [{ createKeyAndCsr }, { requestCertificate }] = await Promise.all([
    import('@lateen/identity/certificate-request'),
    import('@lateen/identity/certificate-call'),
  ]);
  const { keyPem, csrPem } = await createKeyAndCsr();
  try {
    const chain = await requestCertificate({
      address: `${endpoint.address}:${endpoint.port}`,
      token,
      rootsPem,
      serverSpiffeId: formatSpiffeId({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount: 'citadel' }),
      csrPem,
      validitySeconds: 3600,
    });
    return new StaticIdentity(identityFromPem({ keyPem, certChainPem: chain.join(''), rootsPem }));
  } catch (error) {
    if (forwards.failure !== undefined) throw forwardFailure('a certificate for this command', forwards.failure);
    throw new UnreachableError(`a certificate for this command: ${(error as Error).message}`);
  }
}

async function trustRoots(client: KubeClient): Promise<string> {
  try {
    const ref = { namespace: SYSTEM_NAMESPACE, name: 'istio-ca-root-cert' };
    const { data } = await client.get(resourceTypes.configMaps, ref);
    return data?.['root-cert.pem'] ?? '';
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new UnreachableError(
      `no mesh is installed in this cluster (ConfigMap ${SYSTEM_NAMESPACE}/istio-ca-root-cert is not there); lateenctl check tells more`,
    );
  }
}

/** A token of the role's account; asking for it is what RBAC allows or not. */
async function roleToken(client: KubeClient, role: AdminRole): Promise<string> {
  const name = `lateen-${role}`;
  try {
    const answer = await client.json<{ status?: { token?: string } }>(`ask for a token of ${name}`, {
      method: 'POST',
      path: `/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/${name}/token`,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [AUDIENCE], expirationSeconds: 600 },
      },
    });
    if (answer.status?.token === undefined) throw new CliError(`the API server gave no token of ${name}`);
    return answer.status.token;
  } catch (error) {
    if (error instanceof ApiError && error.code === 403) {
      throw new CliError(
        `you may not act as ${name} (permission \`create\` of \`serviceaccounts/token\` in ${SYSTEM_NAMESPACE}); say --as viewer, or ask for it`,
      );
    }
    if (isNotFound(error))
      throw new UnreachableError(
        `no mesh is installed in this cluster (ServiceAccount ${SYSTEM_NAMESPACE}/${name} is not there)`,
      );
    throw error;
  }
}
