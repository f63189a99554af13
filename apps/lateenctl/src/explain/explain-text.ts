// Explain: the answer for people: what happens, then each part of it with the file and line that decided it.

import type {
  Because,
  ExplainedAuthorization,
  ExplainedCluster,
  ExplainedInbound,
  ExplainedInquiry,
  ExplainedLimit,
  Explanation,
  HeaderChanges,
  NotMatched,
} from '@lateen/explain';

const LABEL_WIDTH = 16;
/** Of a list; a VirtualService may have thousands of rules. */
const MAX_ITEMS = 40;
const INDENT = ' '.repeat(LABEL_WIDTH);

/** @param paint how the places are coloured */
export function explainText(request: string, answer: Explanation, paint: (text: string) => string): string {
  const { from } = answer;
  const because = (...decides: string[]) => reasons(answer.because, decides, paint);
  const lines = [`${request} from ${from.workload}.${from.namespace}: ${answer.outcome}`, ''];
  const add = (label: string, text: string, why = '') =>
    lines.push(`${label.padEnd(LABEL_WIDTH)}${text}${why === '' ? '' : `  ${why}`}`);

  if (answer.listener !== null) add('Listener', answer.listener);
  if (answer.virtualHost !== null) add('Virtual host', answer.virtualHost, because('virtualHost'));
  if (answer.route !== null) add('Route', answer.route, because('route'));
  if (answer.action === 'redirect') add('Redirect', `${answer.status} ${answer.location}`, because('redirect'));
  if (answer.action === 'directResponse') add('Answer', String(answer.status), because('directResponse'));
  for (const cluster of answer.clusters) lines.push(...clusterLines(cluster, answer, paint));
  if (answer.action === 'forward') {
    add('Path', answer.path ?? '', because('path'));
    add('Host', answer.host ?? '', because('host'));
    add('Timeout', answer.timeoutMs === null ? 'none' : `${answer.timeoutMs} ms`, because('timeoutMs'));
    add('Retries', retryText(answer), because('retries'));
  }
  for (const text of changeTexts(answer.requestHeaders)) add('Request header', text, because('requestHeaders'));
  for (const text of changeTexts(answer.responseHeaders)) add('Response header', text, because('responseHeaders'));
  for (const text of faultTexts(answer)) add('Fault', text, because('fault'));
  if (answer.hashBy.length > 0) add('Hashed by', answer.hashBy.join(', '), because('loadBalancer'));
  for (const { cluster, percentage } of answer.mirror) {
    add('Mirror', `${cluster} (${percentage}%)`, because('mirror'));
  }
  for (const [name, value] of Object.entries(answer.cors?.headers ?? {}))
    add('CORS', `${name}: ${value}`, because('cors'));
  const limitLine = (limit: ExplainedLimit) =>
    limitText(limit, reasons(answer.because, ['limits'], paint, limit.rule ?? ''));
  const askLine = (ask: ExplainedInquiry) => askText(ask, reasons(answer.because, ['limits'], paint, ask.rule));
  for (const limit of answer.limits) add('Rate limit', limitLine(limit));
  for (const ask of answer.asks) add('Rate limit', askLine(ask));
  const accessLine = (decided: ExplainedAuthorization, at: string) =>
    accessText(decided, reasons(answer.because, ['authorization'], paint, at));
  if (answer.authorization !== null) add('Authorization', accessLine(answer.authorization, ''));
  for (const inbound of answer.inbound) {
    const receiver = `${inbound.workload}.${inbound.namespace}`;
    const why = reasons(answer.because, ['inbound'], paint, receiver);
    lines.push(
      ...inboundLines(inbound, why, [
        ...(inbound.authorization === null ? [] : [accessLine(inbound.authorization, receiver)]),
        ...inbound.limits.map((limit) => `rate limit ${limitLine(limit)}`),
        ...inbound.asks.map((ask) => `rate limit ${askLine(ask)}`),
      ]),
    );
  }
  const list = (title: string, items: readonly string[]) => {
    if (items.length === 0) return;
    lines.push('', title, ...items.slice(0, MAX_ITEMS).map((item) => `  ${item}`));
    if (items.length > MAX_ITEMS) lines.push(`  and ${items.length - MAX_ITEMS} more; -o json has all`);
  };
  list(
    'Not chosen, and why:',
    answer.notMatched.map((each) => notMatchedText(each, paint)),
  );
  list('Not looked at, since the route above came first:', answer.notReached);
  list('Notes:', answer.notes);
  return lines.join('\n');
}

function place({ file, line }: Because): string {
  return line > 0 ? `${file}:${line}` : file;
}

/** `(VirtualService FILE:LINE, …)`; each place once. */
function reasons(
  because: readonly Because[],
  decides: readonly string[],
  paint: (text: string) => string,
  of?: string,
): string {
  const found = because.filter((each) => decides.includes(each.decides) && (of === undefined || each.of === of));
  const texts = new Set(found.map((each) => `${each.kind} ${place(each)}`));
  return texts.size === 0 ? '' : paint(`(${[...texts].join(', ')})`);
}

const CLUSTER_REASONS = [
  'clusters',
  'subset',
  'loadBalancer',
  'connectionPool',
  'outlierDetection',
  'tls',
  'destinationRule',
];

/** What the cluster's part of a name and of the documents has to do with it. */
function clusterLines(
  cluster: ExplainedCluster,
  { because, clusters }: Explanation,
  paint: (text: string) => string,
): string[] {
  const [, , subset, host] = cluster.name.split('|');
  const share = clusters.length === 1 ? '' : ` weight ${cluster.weight},`;
  const why = reasons(because, CLUSTER_REASONS, paint, cluster.name);
  const lines = [
    `${'Cluster'.padEnd(LABEL_WIDTH)}${cluster.name}${share === '' ? ',' : `,${share}`} ${cluster.loadBalancer}`,
    ...(why === '' ? [] : [`${INDENT}${why}`]),
  ];
  for (const { pod, port, tls } of cluster.endpoints) {
    const place = port === 0 ? pod : `${pod}:${port}`;
    lines.push(`${INDENT}- ${place}, ${{ mutual: 'mutual TLS', tls: 'TLS', none: 'plain text' }[tls]}`);
  }
  if (cluster.endpoints.length === 0) {
    const what = subset ? `no ready pod of subset ${subset} of ${host}` : 'no endpoint';
    lines.push(`${INDENT}- ${what}: answered 503 UH`);
  }
  for (const text of [breakerText(cluster), outlierText(cluster)]) if (text !== '') lines.push(`${INDENT}  ${text}`);
  for (const text of changeTexts(cluster.requestHeaders)) lines.push(`${INDENT}  request header ${text}`);
  for (const text of changeTexts(cluster.responseHeaders)) lines.push(`${INDENT}  response header ${text}`);
  return lines;
}

/** What may be under way at a time, as far as that is bounded. */
function breakerText({ circuitBreaker }: ExplainedCluster): string {
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries } = circuitBreaker;
  const bounds = [
    ...(maxConnections === null ? [] : [`${maxConnections} connections`]),
    ...(maxPendingRequests === null ? [] : [`${maxPendingRequests} requests that wait for one`]),
    ...(maxRequests === null ? [] : [`${maxRequests} requests`]),
    ...(maxRetries === null ? [] : [`${maxRetries} retries`]),
  ];
  return bounds.length === 0 ? '' : `at most ${bounds.join(', ')} at a time; beyond that 503 UO`;
}

function outlierText({ outlierDetection }: ExplainedCluster): string {
  if (outlierDetection === null) return '';
  const { consecutive5xxErrors, consecutiveGatewayErrors, intervalMs, baseEjectionTimeMs, maxEjectionPercent } =
    outlierDetection;
  const errors = [
    ...(consecutive5xxErrors === null ? [] : [`${consecutive5xxErrors} errors (5xx)`]),
    ...(consecutiveGatewayErrors === null ? [] : [`${consecutiveGatewayErrors} gateway errors`]),
  ];
  if (errors.length === 0) return 'no endpoint is left out for its errors';
  const time = baseEjectionTimeMs === null ? 'a while' : `${baseEjectionTimeMs} ms and more`;
  const looks = intervalMs === null ? '' : `, looked at every ${intervalMs} ms`;
  const share = maxEjectionPercent === null ? '' : `, at most ${maxEjectionPercent}% of them`;
  return `an endpoint is left out for ${time} after ${errors.join(' or ')} in a row${looks}${share}`;
}

function retryText({ retries }: Explanation): string {
  if (retries === null) return 'none';
  const { attempts, retryOn, perTryTimeoutMs, retriableStatusCodes, backoffMs } = retries;
  const codes = retriableStatusCodes.length === 0 ? '' : ` (${retriableStatusCodes.join(', ')})`;
  const each = perTryTimeoutMs === null ? '' : `, ${perTryTimeoutMs} ms each`;
  const pause = backoffMs === null ? '' : `, ${backoffMs} ms apart at least`;
  return `${attempts} on ${retryOn.join(',')}${codes}${each}${pause}`;
}

function changeTexts({ set, add, remove }: HeaderChanges): string[] {
  return [
    ...remove.map((name) => `remove ${name}`),
    ...Object.entries(set).map(([name, value]) => `set ${name}: ${value}`),
    ...Object.entries(add).map(([name, value]) => `add ${name}: ${value}`),
  ];
}

function faultTexts({ fault }: Explanation): string[] {
  const { delay = null, abort = null } = fault ?? {};
  return [
    ...(delay === null ? [] : [`${delay.percentage}% wait ${delay.fixedDelayMs} ms`]),
    ...(abort === null
      ? []
      : [
          `${abort.percentage}% are answered ${abort.httpStatus === null ? `gRPC status ${abort.grpcStatus}` : abort.httpStatus}`,
        ]),
  ];
}

function limitText(limit: ExplainedLimit, why: string): string {
  const { filter, at, maxTokens, tokensPerFill, fillIntervalMs, enforcedPercentage, status, rule } = limit;
  const shadow = enforcedPercentage === 100 ? '' : `, enforced for ${enforcedPercentage}%`;
  const amount = `${tokensPerFill} every ${fillIntervalMs} ms, at most ${maxTokens} at once, else ${status}${shadow}`;
  if (rule === null) return `${amount} (${filter}, ${at})`;
  const counted = limit.countedBy.map(({ by, value }) => (value === null ? by : `${by} ${value}`));
  const apart = counted.length === 0 ? '' : `, for ${counted.join(' and ')}`;
  const where = limit.scope === 'MESH' ? 'over the mesh' : 'at each proxy';
  return `${rule}: ${amount}${apart}, ${where}${why === '' ? '' : `  ${why}`}`;
}

function askText({ rule, service, domain, descriptor, timeoutMs, failOpen, status }: ExplainedInquiry, why: string) {
  const told = descriptor.map(({ key, value }) => (value === null ? key : `${key}=${value}`)).join(', ');
  const silent = failOpen ? 'goes on' : 'is answered 500';
  const text = `${rule}: asks ${service}, domain ${domain}, about ${told}; refused with ${status}, without an answer in ${timeoutMs} ms it ${silent}`;
  return `${text}${why === '' ? '' : `  ${why}`}`;
}

function accessText({ decision, rule, asked }: ExplainedAuthorization, why: string): string {
  const because = rule === null ? (decision === 'denied' ? ': no ALLOW policy is for it' : '') : ` by ${rule}`;
  const before = asked === null ? '' : `${asked} is asked; then `;
  return `${before}${decision}${because}${why === '' ? '' : `  ${why}`}`;
}

function inboundLines(inbound: ExplainedInbound, why: string, further: readonly string[]): string[] {
  const { workload, namespace, port, mtls, caller, accepted, filterChain, cluster, action } = inbound;
  const comes = { mutual: 'mutual TLS', tls: 'TLS of another kind', none: 'plain text' }[caller];
  const verdict = accepted ? `taken by filter chain ${filterChain}` : 'refused: no filter chain takes it';
  const goes = cluster === null ? (accepted ? `, ${action}` : '') : `, goes to ${cluster}`;
  return [
    `${'Receiving side'.padEnd(LABEL_WIDTH)}${workload}.${namespace}:${port} is ${mtls}; ${comes} is ${verdict}${goes}${why === '' ? '' : `  ${why}`}`,
    ...further.map((line) => `${INDENT}${line}`),
  ];
}

/** How conditions on a whole VirtualService read. */
const WHOLE: Readonly<Record<string, (expected: string, actual: string) => string>> = {
  gateways: (expected, actual) => `is for the gateways ${expected}, and the caller's proxy serves ${actual}`,
  exportTo: (expected, actual) => `is exported to ${expected}, and the caller is in ${actual}`,
  hosts: (expected, actual) => `is for the host ${expected}: ${actual}`,
};

function notMatchedText({ rule, condition, expected, actual, because }: NotMatched, paint: (text: string) => string) {
  const where = because === null ? '' : `  ${paint(`(${place(because)})`)}`;
  const whole = WHOLE[condition]?.(expected, actual);
  return `${rule} ${whole ?? `wants ${condition} ${expected}, and it is ${actual}`}${where}`;
}
