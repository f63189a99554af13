// Test cluster: kubeconfig files for its users.

import { readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { KeyPairFiles } from './certificates.js';

export interface KubeconfigContent {
  readonly server: string;
  /** Path of the authority's certificate. */
  readonly authority: string;
  readonly user: KeyPairFiles | { readonly token?: string };
}

/** Writes a kubeconfig that carries all it needs in itself. @returns `path` */
export function writeKubeconfig(path: string, { server, authority, user }: KubeconfigContent): string {
  const encoded = (file: string) => readFileSync(file).toString('base64');
  const credentials = !('certificate' in user)
    ? user
    : { 'client-certificate-data': encoded(user.certificate), 'client-key-data': encoded(user.key) };
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': encoded(authority) } }],
    users: [{ name: 'test', user: credentials }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  };
  writeFileSync(path, stringify(content), { mode: 0o600 });
  return path;
}
