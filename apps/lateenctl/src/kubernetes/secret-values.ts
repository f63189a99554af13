// Kubernetes: the values of Secrets: taken from the document that was applied, kept in a file of their own, shown nowhere.

import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '@lateen/identity/plain';
import type { ConfigObject } from '@lateen/istio-config';
import { CREDENTIAL_KEYS, readCertificatePair, readRoots } from '@lateen/translate/credentials';
import type { KubeCredential } from './objects.js';
import type { Report } from './read-deployment.js';

export type SecretValues = Readonly<Record<string, string>>;

/** By `NAMESPACE/NAME`. */
export type SecretValuesByName = ReadonlyMap<string, SecretValues>;

/**
 * What of a Secret gateways use. What is in it besides (passwords, tokens) nobody in the mesh asks for, so it goes nowhere.
 * A pair that cannot be used is a warning here: the gateway's other servers work without it.
 */
export function readCredential(
  { metadata }: ConfigObject<'Secret'>,
  values: SecretValues,
  report: Report,
): KubeCredential {
  const own = Object.fromEntries(Object.entries(values).filter(([key]) => CREDENTIAL_KEYS.includes(key)));
  const credential = { namespace: metadata.namespace, name: metadata.name, values: own };
  const parts = Object.keys(own);
  const hasRoots = parts.includes('ca.crt') || parts.includes('cacert');
  const hasPair = parts.some((key) => key.startsWith('tls.') || key === 'cert' || key === 'key');
  if (hasPair) {
    const pair = readCertificatePair(credential);
    if ('fault' in pair) report([], 'warning', 'credential', `gateways cannot use the Secret: it ${pair.fault}`);
  }
  if (hasRoots) {
    const roots = readRoots(credential);
    if ('fault' in roots) report([], 'warning', 'credential', `gateways cannot use the Secret: it ${roots.fault}`);
  }
  if (parts.length === 0) {
    const message = 'the Secret has no certificate and no key, so nothing in local mode uses it; it may stay';
    report([], 'warning', 'no-effect', message);
  }
  return credential;
}

/** Reads the file; empty where there is none. @throws Error where it is damaged, without a word of what is in it */
export async function loadSecretValues(file: string): Promise<Map<string, SecretValues>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw error;
  }
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, SecretValues>));
  } catch {
    throw new Error(`${file} is damaged; delete it and apply your Secrets again`);
  }
}

/** Durable when it resolves; readable by this user only. */
export async function saveSecretValues(file: string, values: SecretValuesByName): Promise<void> {
  await writeFileAtomic(file, `${JSON.stringify(Object.fromEntries(values))}\n`, { mode: 0o600 });
}
