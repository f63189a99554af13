// Reference: what a CORS policy makes of a request, and which headers the answer to it has.

export interface PlainCors {
  /** Each an exact text, a prefix, or (`contains`) a part. */
  readonly origins: readonly { readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains'; readonly value: string }[];
  readonly methods: string;
  readonly headers: string;
  readonly expose: string;
  readonly maxAge: string;
  readonly credentials: boolean;
  readonly forwardUnmatched: boolean;
}

export interface PlainRequest {
  readonly method: string;
  /** Undefined: no such header. */
  readonly origin: string | undefined;
  readonly requestMethod: string | undefined;
}

function matches({ kind, value }: PlainCors['origins'][number], text: string): boolean {
  if (kind === 'exact') return text === value;
  if (kind === 'prefix') return text.startsWith(value);
  return kind === 'suffix' ? text.endsWith(value) : text.includes(value);
}

/** What happens, and the access-control-* headers of the answer, sorted. */
export function sharing(policy: PlainCors, { method, origin, requestMethod }: PlainRequest): [string, string[]] {
  if (!origin) return ['none', []];
  const preflight = method === 'OPTIONS' && !!requestMethod;
  const allowed = policy.origins.some((each) => matches(each, '*') || matches(each, origin));
  if (!allowed) return [preflight && !policy.forwardUnmatched ? 'refused' : 'none', []];
  const lines = [`allow-origin: ${origin}`];
  if (policy.credentials) lines.push('allow-credentials: true');
  if (policy.expose !== '') lines.push(`expose-headers: ${policy.expose}`);
  if (preflight && policy.methods !== '') lines.push(`allow-methods: ${policy.methods}`);
  if (preflight && policy.headers !== '') lines.push(`allow-headers: ${policy.headers}`);
  if (preflight && policy.maxAge !== '') lines.push(`max-age: ${policy.maxAge}`);
  return [preflight ? 'preflight' : 'shared', lines.map((line) => `access-control-${line}`).sort()];
}
