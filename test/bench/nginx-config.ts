// Benchmark: nginx as backend, and as the peer that proxies.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CertificateFiles } from './certificates.js';

const BODY = 'x'.repeat(1024);

/** Writes one nginx instance's configuration; returns the arguments that run it in the foreground. */
function writeInstance(directory: string, name: string, servers: string): string[] {
  const prefix = join(directory, `nginx-${name}`);
  mkdirSync(join(prefix, 'temp'), { recursive: true });
  const config = `
daemon off;
master_process off;
worker_processes 1;
pid ${prefix}/nginx.pid;
error_log ${prefix}/error.log warn;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${prefix}/temp;
  proxy_temp_path ${prefix}/temp;
  fastcgi_temp_path ${prefix}/temp;
  uwsgi_temp_path ${prefix}/temp;
  scgi_temp_path ${prefix}/temp;
  keepalive_requests 100000000;
  keepalive_timeout 3600s;
  server_names_hash_max_size 4096;
  server_names_hash_bucket_size 128;
  ${servers}
}
`;
  writeFileSync(join(prefix, 'nginx.conf'), config);
  return ['nginx', '-p', prefix, '-c', join(prefix, 'nginx.conf')];
}

/** A backend that answers every request with 1 KiB from memory, on each of the ports. */
export function nginxBackend(directory: string, ports: readonly number[]): string[] {
  const listens = ports.map((port) => `listen 127.0.0.1:${port} backlog=8192;`).join(' ');
  return writeInstance(
    directory,
    `backend-${ports[0]}`,
    `server { ${listens} location / { default_type text/plain; return 200 "${BODY}"; } }`,
  );
}

const PROXY_DIRECTIVES = `
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
`;

function upstream(ports: readonly number[]): string {
  const servers = ports.map((port) => `server 127.0.0.1:${port};`).join(' ');
  return `upstream backend { ${servers} keepalive 256; keepalive_requests 100000000; keepalive_timeout 3600s; }`;
}

export interface NginxProxyOptions {
  readonly directory: string;
  readonly name: string;
  readonly listenPort: number;
  readonly backendPorts: readonly number[];
  /** Further server blocks by name, each proxying to the same backends. */
  readonly hostNames?: readonly string[];
  readonly acceptTls?: CertificateFiles;
  readonly originateTls?: CertificateFiles;
}

/** A reverse proxy with upstream keep-alive. */
export function nginxProxy(options: NginxProxyOptions): string[] {
  const { acceptTls, originateTls } = options;
  const tlsIn = acceptTls
    ? `ssl_certificate ${acceptTls.server.chain}; ssl_certificate_key ${acceptTls.server.key}; ssl_protocols TLSv1.3;
       ssl_client_certificate ${acceptTls.root}; ssl_verify_client on; ssl_session_cache shared:s:1m;`
    : '';
  const tlsOut = originateTls
    ? `proxy_ssl_certificate ${originateTls.client.chain}; proxy_ssl_certificate_key ${originateTls.client.key};
       proxy_ssl_trusted_certificate ${originateTls.root}; proxy_ssl_verify on; proxy_ssl_protocols TLSv1.3;
       proxy_ssl_server_name on; proxy_ssl_name ${originateTls.server.dnsName};`
    : '';
  const location = `location / { proxy_pass ${originateTls ? 'https' : 'http'}://backend; ${PROXY_DIRECTIVES} ${tlsOut} }`;
  const listen = `listen 127.0.0.1:${options.listenPort}${acceptTls ? ' ssl' : ''}`;
  const named = (options.hostNames ?? [])
    .map((name) => `server { ${listen}; server_name ${name}; ${location} }`)
    .join('\n');
  const servers = `${upstream(options.backendPorts)}
  server { ${listen} default_server backlog=8192; server_name _; ${tlsIn} ${location} }
  ${named}`;
  return writeInstance(options.directory, options.name, servers);
}
