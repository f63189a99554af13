// Settings, step 1: what can be set of interception, under Istio's names, before anything of it is understood.

/** One setting: how flags, environment and annotations call it, and what holds where none does. */
export interface SettingNames {
  /** Commander's form of Istio's flag. */
  readonly flag: string;
  readonly env?: string;
  readonly annotation?: string;
  readonly default: string;
  readonly what: string;
}

const TRAFFIC = 'traffic.sidecar.istio.io';

export const SETTINGS = {
  proxyPort: {
    flag: '-p, --envoy-port <port>',
    env: 'ENVOY_PORT',
    default: '15001',
    what: 'where outbound connections go: the port of virtualOutbound',
  },
  inboundPort: {
    flag: '-z, --inbound-capture-port <port>',
    env: 'INBOUND_CAPTURE_PORT',
    default: '15006',
    what: 'where inbound connections go: the port of virtualInbound',
  },
  tunnelPort: {
    flag: '-e, --inbound-tunnel-port <port>',
    env: 'INBOUND_TUNNEL_PORT',
    default: '15008',
    what: 'a port of the proxy that is reached directly',
  },
  proxyUids: {
    flag: '-u, --proxy-uid <ids>',
    env: 'PROXY_UID',
    default: '1337',
    what: 'users whose own traffic is not redirected: the proxy; empty: it is known by its group alone',
  },
  proxyGids: {
    flag: '-g, --proxy-gid <ids>',
    env: 'PROXY_GID',
    default: '',
    what: 'groups whose own traffic is not redirected; default: the numbers of --proxy-uid',
  },
  inboundMode: {
    flag: '-m, --istio-inbound-interception-mode <mode>',
    env: 'ISTIO_INBOUND_INTERCEPTION_MODE',
    annotation: 'sidecar.istio.io/interceptionMode',
    default: 'REDIRECT',
    what: 'REDIRECT, or TPROXY, which keeps the source address (the proxy then needs NET_ADMIN)',
  },
  inboundPorts: {
    flag: '-b, --istio-inbound-ports <ports>',
    env: 'ISTIO_INBOUND_PORTS',
    annotation: `${TRAFFIC}/includeInboundPorts`,
    default: '',
    what: "inbound ports to redirect, '*' for all; empty: none",
  },
  excludedInboundPorts: {
    flag: '-d, --istio-local-exclude-ports <ports>',
    env: 'ISTIO_LOCAL_EXCLUDE_PORTS',
    annotation: `${TRAFFIC}/excludeInboundPorts`,
    default: '',
    what: "inbound ports to leave alone where all are redirected ('*')",
  },
  outboundRanges: {
    flag: '-i, --istio-service-cidr <ranges>',
    env: 'ISTIO_SERVICE_CIDR',
    annotation: `${TRAFFIC}/includeOutboundIPRanges`,
    default: '',
    what: "destinations to redirect, as CIDR, '*' for all; empty: none",
  },
  excludedOutboundRanges: {
    flag: '-x, --istio-service-exclude-cidr <ranges>',
    env: 'ISTIO_SERVICE_EXCLUDE_CIDR',
    annotation: `${TRAFFIC}/excludeOutboundIPRanges`,
    default: '',
    what: 'destinations to leave alone, as CIDR',
  },
  outboundPorts: {
    flag: '-q, --istio-outbound-ports <ports>',
    env: 'ISTIO_OUTBOUND_PORTS',
    annotation: `${TRAFFIC}/includeOutboundPorts`,
    default: '',
    what: 'destination ports to redirect beside the destinations of -i',
  },
  excludedOutboundPorts: {
    flag: '-o, --istio-local-outbound-ports-exclude <ports>',
    env: 'ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE',
    annotation: `${TRAFFIC}/excludeOutboundPorts`,
    default: '',
    what: 'destination ports to leave alone',
  },
  excludedInterfaces: {
    flag: '-c, --istio-exclude-interfaces <names>',
    env: 'ISTIO_EXCLUDE_INTERFACES',
    annotation: `${TRAFFIC}/excludeInterfaces`,
    default: '',
    what: 'network interfaces whose traffic is left alone, in both directions',
  },
  virtualInterfaces: {
    flag: '-k, --kube-virt-interfaces <names>',
    env: 'KUBE_VIRT_INTERFACES',
    annotation: 'istio.io/reroute-virtual-interfaces',
    default: '',
    what: 'interfaces whose inbound traffic (of virtual machines) counts as outbound',
  },
  ownerGroups: {
    flag: '--outbound-owner-groups <groups>',
    env: 'ISTIO_OUTBOUND_OWNER_GROUPS',
    default: '*',
    what: 'groups whose outbound traffic is redirected, by name or number',
  },
  excludedOwnerGroups: {
    flag: '--outbound-owner-groups-exclude <groups>',
    env: 'ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE',
    default: '',
    what: "groups whose outbound traffic is left alone where --outbound-owner-groups is '*'",
  },
  tproxyMark: {
    flag: '-t, --istio-inbound-tproxy-mark <mark>',
    env: 'ISTIO_INBOUND_TPROXY_MARK',
    default: '1337',
    what: 'packet mark of TPROXY',
  },
  tproxyTable: {
    flag: '-r, --istio-inbound-tproxy-route-table <table>',
    env: 'ISTIO_INBOUND_TPROXY_ROUTE_TABLE',
    default: '133',
    what: 'routing table of TPROXY',
  },
} as const satisfies Record<string, SettingNames>;

export type SettingName = keyof typeof SETTINGS;

/** Texts as flags and annotations give them; what is missing has its default. */
export type SettingTexts = Readonly<Partial<Record<SettingName, string>>>;

/** All settings, so that others can go over them. */
export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** How a setting is called towards people who gave it by flags. */
export function flagName(name: SettingName): string {
  const [first, second] = SETTINGS[name].flag.replace(/ <.*$/, '').split(', ');
  return second === undefined ? first! : `${second} (${first})`;
}

/** How a setting is called towards people who gave it by annotations. */
export function annotationName(name: SettingName): string {
  const { annotation } = SETTINGS[name] as SettingNames;
  return annotation === undefined ? flagName(name) : `annotation ${annotation}`;
}
