// Settings of a pod: what its annotations say, under the defaults of injection.
import { SETTING_NAMES, SETTINGS, type SettingNames, type SettingTexts } from './settings.js';

/** Ports of the proxy that are reached directly: health, its metrics, merged metrics. */
export const PROXY_PORTS: readonly number[] = [15_020, 15_021, 15_090];

/** Another name of istio.io/reroute-virtual-interfaces, from before. */
const FORMER_VIRTUAL_INTERFACES = 'traffic.sidecar.istio.io/kubevirtInterfaces';

/**
 * Settings as injection makes them where annotations do not say otherwise: all ports and destinations.
 *
 * @returns undefined where the pod wants no redirection (interceptionMode NONE)
 */
export function settingsOfPod(annotations: Readonly<Record<string, string>>): SettingTexts | undefined {
  const texts: Partial<Record<(typeof SETTING_NAMES)[number], string>> = { inboundPorts: '*', outboundRanges: '*' };
  for (const name of SETTING_NAMES) {
    const { annotation } = SETTINGS[name] as SettingNames;
    const text = annotation === undefined ? undefined : annotations[annotation];
    if (text !== undefined) texts[name] = text;
  }
  texts.virtualInterfaces ??= annotations[FORMER_VIRTUAL_INTERFACES];
  if (texts.inboundMode === 'NONE') return undefined;
  const excluded = [texts.excludedInboundPorts, PROXY_PORTS.join(',')].filter(
    (text) => text !== undefined && text !== '',
  );
  return { ...texts, excludedInboundPorts: excluded.join(',') };
}
