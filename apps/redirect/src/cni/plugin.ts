// CNI plugin: one call of a runtime for one pod. It comes after the plugins that make the pod's interfaces, and changes nothing of them.
import { setTimeout as wait } from 'node:timers/promises';
import { type Family, SettingsError } from '@lateen/interception';
import { type ApiError, isNotFound, KubeClient, loadClusterAccess, type Pod, resourceTypes } from '@lateen/kubernetes';
import { applyRules, verifyRules } from '../apply-rules.js';
import { chooseBackend } from '../backend.js';
import { Commands, RedirectError } from '../commands.js';
import {
  CniError,
  CODES,
  type NetworkConfig,
  parseArgs,
  parseNetworkConfig,
  resultOutput,
  versionOutput,
} from './network-config.js';
import { decidePod, type PodDecision } from './pod-decision.js';

/** Begin of the names of the DaemonSet's pods. */
export const AGENT_PREFIX = 'lateen-cni-node-';
const ASK_AGAIN_MS = 1000;
const MS_PER_SECOND = 1000;

/** A pod that is left alone needs no rules. */
type Place =
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string };

/** @returns what goes to standard output. @throws CniError */
export async function runPlugin(env: NodeJS.ProcessEnv, input: string, log: (line: string) => void): Promise<string> {
  const command = env.CNI_COMMAND;
  if (command === 'VERSION') return versionOutput();
  if (!['ADD', 'CHECK', 'DEL', 'GC', 'STATUS'].includes(command ?? '')) {
    throw new CniError(
      CODES.invalidEnvironment,
      `CNI_COMMAND is "${command ?? ''}"; a container runtime sets it (see lateen-cni --help)`,
    );
  }
  const config = parseNetworkConfig(input);
  switch (command) {
    case 'STATUS':
      await requireApiServer(config);
      return '';
    case 'ADD':
      await withRules(env, config, log, applyRules);
      return resultOutput(config);
    case 'CHECK':
      await withRules(env, config, log, verifyRules);
      return '';
    default:
      // DEL and GC: rules end with the pod's network namespace, and nothing else is kept.
      return '';
  }
}

async function withRules(
  env: NodeJS.ProcessEnv,
  config: NetworkConfig,
  log: (line: string) => void,
  act: typeof applyRules,
): Promise<void> {
  const place = placeOf(env, config);
  if (place.kind === 'none') return log(place.reason);
  const which = `${place.namespace}/${place.name}`;
  const pod = await readPod(config, place);
  if (pod === undefined) return log(`${which}: the API server is away, and this is a pod of the plugin itself`);
  const decision = decide(pod, config, which);
  if (decision.kind === 'leave') return log(`${which}: not redirected: ${decision.reason}`);
  const namespaceFile = env.CNI_NETNS ?? '';
  if (namespaceFile === '') throw new CniError(CODES.invalidEnvironment, 'CNI_NETNS is missing');
  try {
    const commands = new Commands(namespaceFile);
    act(commands, decision.interception, chooseBackend(commands, 'auto'));
  } catch (error) {
    if (!(error instanceof RedirectError)) throw error;
    throw new CniError(CODES.notRedirected, `${which}: ${error.message}`);
  }
  log(`${which}: redirect rules stand`);
}

function placeOf(env: NodeJS.ProcessEnv, { excludeNamespaces }: NetworkConfig): Place {
  const { K8S_POD_NAMESPACE: namespace = '', K8S_POD_NAME: name = '' } = parseArgs(env.CNI_ARGS ?? '');
  if (namespace === '' || name === '') return { kind: 'none', reason: 'not a pod of Kubernetes' };
  if (excludeNamespaces.includes(namespace))
    return { kind: 'none', reason: `${namespace}/${name}: its namespace is excluded` };
  return { kind: 'pod', namespace, name };
}

function decide(pod: Pod, { prevResult }: NetworkConfig, which: string): PodDecision {
  const addresses = (prevResult?.ips ?? []).map(({ address }) => address ?? '');
  const families: Family[] = addresses.some((address) => address.includes(':')) ? [4, 6] : [4];
  try {
    return decidePod(pod, families);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new CniError(CODES.notRedirected, `${which}: ${error.problems.join('; ')}`);
  }
}

async function connect({ kubeconfig }: NetworkConfig): Promise<KubeClient> {
  try {
    return new KubeClient(await loadClusterAccess({ kubeconfig }));
  } catch (error) {
    throw new CniError(CODES.tryAgainLater, `${(error as Error).message}; lateen-cni install writes it`);
  }
}

/** Asks until it is told, or the time is over. @returns undefined for a pod of this plugin itself, that nobody can tell of */
async function readPod(
  config: NetworkConfig,
  ref: { readonly namespace: string; readonly name: string },
): Promise<Pod | undefined> {
  const isOwn = ref.namespace === config.podNamespace && ref.name.startsWith(AGENT_PREFIX);
  const deadline = Date.now() + config.apiTimeoutSeconds * MS_PER_SECOND;
  for (;;) {
    try {
      const client = await connect(config);
      try {
        return await client.get(resourceTypes.pods, ref, AbortSignal.timeout(Math.max(1, deadline - Date.now())));
      } finally {
        client.access.close();
      }
    } catch (error) {
      if (isOwn) return undefined;
      if (Date.now() + ASK_AGAIN_MS >= deadline) throw notTold(ref, error as Error);
    }
    await wait(ASK_AGAIN_MS);
  }
}

function notTold(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  error: Error | ApiError,
): CniError {
  const what = isNotFound(error) ? 'the API server does not know the pod' : error.message;
  return new CniError(
    CODES.tryAgainLater,
    `${namespace}/${name}: ${what}; without an answer the pod must not start, since it may need redirect rules`,
  );
}

async function requireApiServer(config: NetworkConfig): Promise<void> {
  try {
    const client = await connect(config);
    await client.discover('', 'v1');
    client.access.close();
  } catch (error) {
    throw new CniError(CODES.notAvailable, `pods cannot be added: ${(error as Error).message}`);
  }
}
