// Test cluster: one request to the API server as its administrator, for what kubectl would need a process each.

import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import type { KeyPairFiles } from './certificates.js';

export interface ApiAnswer {
  readonly status: number;
  /** An object, a list, or what went wrong (`kind: Status`). */
  readonly body: { readonly kind?: string; readonly message?: string } & Readonly<Record<string, unknown>>;
}

/** @param path with its query, for example `/api/v1/namespaces?limit=5` */
export type ApiRequest = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object) => Promise<ApiAnswer>;

export function createApiRequest(server: string, authority: string, user: KeyPairFiles): ApiRequest {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 8,
    ca: readFileSync(authority),
    cert: readFileSync(user.certificate),
    key: readFileSync(user.key),
  });
  return (method, path, body) =>
    new Promise((resolve, reject) => {
      const headers = { accept: 'application/json', 'content-type': 'application/json' };
      const asked = request(`${server}${path}`, { agent, method, headers, timeout: 30_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('error', reject);
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as ApiAnswer['body'] }),
        );
      });
      asked.once('timeout', () => asked.destroy(new Error(`${method} ${path}: no answer`)));
      asked.once('error', reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
}
