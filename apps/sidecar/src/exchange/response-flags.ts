// Exchange: Envoy's response flags as bits, and their text for the access log and the metrics.

/** One bit for each flag that this slice can set; https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage. */
export const FLAG = {
  // Before the others, as in Envoy's texts: it comes before anything else can happen to a request.
  DI: 1 << 17,
  FI: 1 << 18,
  // That retries are used up is found out before what the last one failed of is said.
  URX: 1 << 4,
  UH: 1 << 0,
  UF: 1 << 1,
  UO: 1 << 2,
  NR: 1 << 3,
  NC: 1 << 5,
  UT: 1 << 6,
  UC: 1 << 7,
  UR: 1 << 8,
  DC: 1 << 9,
  DPE: 1 << 10,
  SI: 1 << 11,
  UPE: 1 << 12,
  DT: 1 << 13,
  UMSDR: 1 << 14,
  OM: 1 << 15,
  RL: 1 << 16,
  DF: 1 << 19,
  UAEX: 1 << 20,
  RLSE: 1 << 22,
} as const;

export type FlagName = keyof typeof FLAG;

const NAMES = Object.keys(FLAG) as FlagName[];
const TCP_NAMES: readonly FlagName[] = [...NAMES.filter((name) => name !== 'URX'), 'URX'];
const httpTexts = new Map<number, string>([[0, '-']]);
const tcpTexts = new Map<number, string>([[0, '-']]);

function textOf(flags: number, names: readonly FlagName[], texts: Map<number, string>): string {
  let text = texts.get(flags);
  if (text === undefined) {
    text = names.filter((name) => (flags & FLAG[name]) !== 0).join(',');
    texts.set(flags, text);
  }
  return text;
}

/** Of a request, in the order in which Envoy sets them: `URX,UF`, or `-` for none. */
export function flagsText(flags: number): string {
  return textOf(flags, NAMES, httpTexts);
}

/** Of a TCP connection, which fails first and then gives up: `UF,URX`. */
export function tcpFlagsText(flags: number): string {
  return textOf(flags, TCP_NAMES, tcpTexts);
}

/** Calls back for each flag that is set. */
export function forEachFlag(flags: number, visit: (name: FlagName) => void): void {
  for (const name of NAMES) if ((flags & FLAG[name]) !== 0) visit(name);
}
