// Pod mode: the parts of Istio's ProxyConfig (variable PROXY_CONFIG, JSON) that the proxy itself is started by.

import { StartError } from '../start-error.js';

export interface PodProxyConfig {
  readonly discoveryAddress: string | undefined;
  /** 0: one process for each core. */
  readonly concurrency: number | undefined;
  readonly terminationDrainMs: number | undefined;
  readonly meshId: string | undefined;
  readonly serviceCluster: string | undefined;
  /** More variables, as if they were set for the container. */
  readonly proxyMetadata: Readonly<Record<string, string>>;
}

/** What else it says is for whoever injects the proxy, or for Pilot. @throws StartError with every fault */
export function parsePodProxyConfig(text: string | undefined): PodProxyConfig {
  const faults: string[] = [];
  let value: unknown = {};
  try {
    value = JSON.parse(text === undefined || text.trim() === '' ? '{}' : text);
  } catch (error) {
    faults.push(`is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push('is not an object');
    value = {};
  }
  const config = value as Record<string, unknown>;
  const read = <T>(field: string, form: string, parse: (value: unknown) => T | undefined): T | undefined => {
    const given = config[field];
    if (given === undefined || given === null) return undefined;
    const parsed = parse(given);
    if (parsed === undefined) faults.push(`${field}: ${JSON.stringify(given)} is not ${form}`);
    return parsed;
  };
  const asText = (given: unknown) => (typeof given === 'string' ? given : undefined);
  const result = {
    discoveryAddress: read('discoveryAddress', 'HOST:PORT', asText) || undefined,
    concurrency: read('concurrency', 'a whole number from 0 to 64', (given) =>
      Number.isInteger(given) && Number(given) >= 0 && Number(given) <= 64 ? Number(given) : undefined,
    ),
    terminationDrainMs: read('terminationDrainDuration', 'a duration like "5s"', durationMs),
    meshId: read('meshId', 'a text', asText) || undefined,
    serviceCluster: read('serviceCluster', 'a text', asText) || undefined,
    proxyMetadata: read('proxyMetadata', 'an object of texts', textMap) ?? {},
  };
  if (faults.length > 0) throw new StartError(faults.map((fault) => `PROXY_CONFIG ${fault}`).join('\n'));
  return result;
}

function textMap(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value);
  return entries.every(([, text]) => typeof text === 'string') ? Object.fromEntries(entries) : undefined;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Go's form (`1m30s`, `500ms`), and that of protobuf's JSON (`5.000s`). Undefined for what is neither. */
export function durationMs(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(value)) return undefined;
  let total = 0;
  for (const [, count, unit] of value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    total += Number(count) * (UNITS_MS[unit ?? ''] ?? 0);
  }
  return Math.round(total);
}
