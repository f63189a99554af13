// Interception: from Istio's flags and annotations to rules of the packet filter. Pure; apps/redirect writes the rules.
//
// Reading order: settings.ts (what can be set) → parse-settings.ts (understood, checked) → rules.ts (decided once) →
// nftables.ts, iptables.ts (as text), routes.ts (what is needed beside).
export { PROXY_PORTS, settingsOfPod } from './annotations.js';
export type { DnsCapture, Family, Interception, Range } from './interception.js';
export { buildIptables, countIptables, hasIptables, removeIptables } from './iptables.js';
export { buildNftables, countListedRules, countNftables, NFT_TABLE, removeNftables } from './nftables.js';
export { parseSettings, SettingsError, type Surroundings } from './parse-settings.js';
export { parsePort, ValueError } from './parse-values.js';
export { parseResolvers } from './resolvers.js';
export { buildRoutes, type IpCommand, removeRoutes } from './routes.js';
export {
  annotationName,
  flagName,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
  type SettingNames,
  type SettingTexts,
} from './settings.js';
