// Test harness: one GET on a connection of its own.

import { type IncomingHttpHeaders, request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const TIME_LIMIT_MS = 5000;

/** @throws Error where there is no answer within five seconds */
export function httpGet(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(url, { agent: false, headers, timeout: TIME_LIMIT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    call.once('timeout', () => call.destroy(new Error(`${url} gave no answer within ${TIME_LIMIT_MS} ms`)));
    call.once('error', reject);
    call.end();
  });
}
