// Distribution: what `GET /debug/distribution` is asked for.

export interface DistributionQuery {
  /** Kinds with the version of Galley's that has to be shown. */
  readonly configs: readonly { readonly typeUrl: string; readonly version: number }[];
  /** Objects, by NAMESPACE/NAME, that have to be gone. */
  readonly absent: readonly { readonly typeUrl: string; readonly name: string }[];
  /** Everything that Pilot knows of now has to be shown. */
  readonly present: boolean;
  /** Only these proxies (POD.NAMESPACE); empty: all. */
  readonly proxyIds: readonly string[];
  readonly timeoutMs: number;
  /** Those of the proxies that are connected to this replica; who asks knows of the others. */
  readonly ownProxiesOnly?: boolean;
}

/** In a query: about the asked replica's own proxies alone. It is how replicas ask each other. */
export const OWN_ONLY = 'own';
const MAX_TIMEOUT_MS = 600_000;

/** `config=GROUP/KIND@VERSION`, `absent=GROUP/KIND@NAMESPACE/NAME`, `present=true`, `proxyID=POD.NAMESPACE`, `timeoutMs=N`. */
export function parseDistributionQuery(query: URLSearchParams): DistributionQuery | { readonly error: string } {
  const configs = query.getAll('config').map((text) => split(text));
  const absent = query.getAll('absent').map((text) => split(text));
  const timeoutMs = Number(query.get('timeoutMs') ?? '0');
  const wrong = configs.find(({ typeUrl, rest }) => typeUrl === '' || !/^\d{1,15}$/.test(rest));
  if (wrong !== undefined) return { error: 'config is GROUP/KIND@VERSION' };
  if (absent.some(({ typeUrl, rest }) => typeUrl === '' || rest === '')) {
    return { error: 'absent is GROUP/KIND@NAMESPACE/NAME' };
  }
  if (!(timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS)) return { error: `timeoutMs is 0 to ${MAX_TIMEOUT_MS}` };
  return {
    configs: configs.map(({ typeUrl, rest }) => ({ typeUrl, version: Number(rest) })),
    absent: absent.map(({ typeUrl, rest }) => ({ typeUrl, name: rest })),
    present: query.get('present') === 'true' || configs.length + absent.length === 0,
    proxyIds: query.getAll('proxyID'),
    timeoutMs,
    ownProxiesOnly: query.get(OWN_ONLY) === 'true',
  };
}

function split(text: string): { typeUrl: string; rest: string } {
  const at = text.indexOf('@');
  return at < 0 ? { typeUrl: '', rest: '' } : { typeUrl: text.slice(0, at), rest: text.slice(at + 1) };
}
