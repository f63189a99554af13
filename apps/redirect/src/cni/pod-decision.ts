// CNI plugin: whether a pod's traffic is redirected, and with which settings. As Istio's plugin decides.
import { annotationName, type Family, type Interception, parseSettings, settingsOfPod } from '@lateen/interception';
import type { Pod, PodContainer } from '@lateen/kubernetes';
import { DNS_PORT } from '../surroundings.js';

/** What is read of a container here, beside what others read. */
interface Container extends PodContainer {
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext?: { readonly runAsUser?: number; readonly runAsGroup?: number };
}

export type PodDecision =
  | { readonly kind: 'redirect'; readonly interception: Interception }
  /** The pod is left as it is, with the reason. */
  | { readonly kind: 'leave'; readonly reason: string };

const INJECT = 'sidecar.istio.io/inject';
const STATUS = 'sidecar.istio.io/status';
const FALSE = ['false', 'n', 'no', 'off', '0', 'f'];
const TRUE = ['true', 'y', 'yes', 'on', '1', 't'];

/** @throws SettingsError naming annotations */
export function decidePod(pod: Pod, families: readonly Family[]): PodDecision {
  const leave = (reason: string): PodDecision => ({ kind: 'leave', reason });
  const { annotations = {}, labels = {} } = pod.metadata;
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])] as readonly Container[];
  const named = (name: string) => containers.find((container) => container.name === name);
  const proxy = named('istio-proxy');
  if (pod.spec?.hostNetwork) return leave('it has the network of its node');
  if (named('istio-init') !== undefined) return leave('its container istio-init writes the rules itself');
  if (proxy === undefined) return leave('it has no container istio-proxy');
  const role = /^(?:router|waypoint)$/;
  if (proxy.args?.some((arg) => role.test(arg))) return leave('its proxy is a gateway');
  // The label is the newer of the two.
  const inject = (labels[INJECT] ?? annotations[INJECT] ?? '').toLowerCase();
  if (FALSE.includes(inject)) return leave(`${INJECT} is ${inject}`);
  if (annotations[STATUS] === undefined) return leave(`it is not injected: it has no annotation ${STATUS}`);
  const texts = settingsOfPod(annotations);
  if (texts === undefined) return leave('its interception mode is NONE');
  const variable = (name: string) => proxy.env?.find((one) => one.name === name)?.value?.toLowerCase() ?? '';
  const { runAsUser, runAsGroup } = proxy.securityContext ?? {};
  const interception = parseSettings(
    {
      ...texts,
      // Root is not the proxy's: the traffic of all would be left alone.
      ...(runAsUser ? { proxyUids: String(runAsUser) } : {}),
      ...(runAsGroup ? { proxyGids: String(runAsGroup) } : {}),
    },
    {
      // The pod's resolv.conf does not exist yet, so queries to any server are captured.
      dns: TRUE.includes(variable('ISTIO_META_DNS_CAPTURE')) ? { servers: 'all', port: DNS_PORT } : undefined,
      dropInvalid: TRUE.includes(variable('INVALID_DROP')),
      families,
    },
    annotationName,
  );
  return { kind: 'redirect', interception };
}
