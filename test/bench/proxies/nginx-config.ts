// Benchmark: nginx as backend, and as the peer that proxies.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProxyOptions } from './proxy-options.js';

const BODY = 'x'.repeat(1024);

/** nginx allots memory for each of these when it starts; with many connections it must, else it need not. */
const WORKER_CONNECTIONS = 4096;
const MANY_WORKER_CONNECTIONS = 19_000;

interface Instance {
  readonly directory: string;
  readonly name: string;
  readonly servers: string;
  readonly accessLog?: string | undefined;
  readonly manyConnections?: boolean | undefined;
}

/** Writes one nginx instance's configuration; returns the arguments that run it in the foreground. */
function writeInstance({ directory, name, servers, accessLog, manyConnections }: Instance): string[] {
  const prefix = join(directory, `nginx-${name}`);
  mkdirSync(join(prefix, 'temp'), { recursive: true });
  const config = `
daemon off;
master_process off;
worker_processes 1;
pid ${prefix}/nginx.pid;
error_log ${prefix}/error.log error;
events { worker_connections ${manyConnections ? MANY_WORKER_CONNECTIONS : WORKER_CONNECTIONS}; }
http {
  access_log ${accessLog === undefined ? 'off' : `${accessLog} combined buffer=64k flush=10s`};
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

export interface BackendOptions {
  readonly directory: string;
  readonly ports: readonly number[];
  readonly bodyBytes: number;
  readonly manyConnections?: boolean;
  /** It speaks HTTP/2 without TLS. */
  readonly http2?: boolean | undefined;
  readonly grpc?: boolean | undefined;
}

/** A backend that answers every request with a body from memory (1 KiB) or from the page cache, on each of the ports. */
export function nginxBackend(options: BackendOptions): string[] {
  const { directory, ports, bodyBytes, manyConnections, http2, grpc } = options;
  const listens = ports.map((port) => `listen 127.0.0.1:${port} ${http2 ? 'http2 ' : ''}backlog=16384;`).join(' ');
  let answer = `return 200 "${BODY}";`;
  if (bodyBytes !== BODY.length) {
    const root = join(directory, 'backend-root');
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'body'), 'x'.repeat(bodyBytes));
    answer = `root ${root}; try_files /body =404; sendfile on; open_file_cache max=10;`;
  }
  // A file is answered to a POST too.
  const type = grpc
    ? 'default_type application/grpc; add_trailer grpc-status 0 always; error_page 405 =200 /body;'
    : 'default_type text/plain;';
  const servers = `server { ${listens} location / { ${type} ${answer} } }`;
  return writeInstance({ directory, name: 'backend', servers, manyConnections });
}

const PROXY_DIRECTIVES = `
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_buffers 32 8k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
`;

function upstream(ports: readonly number[]): string {
  const servers = ports.map((port) => `server 127.0.0.1:${port};`).join(' ');
  return `upstream backend { ${servers} keepalive 256; keepalive_requests 100000000; keepalive_timeout 3600s; }`;
}

/** A reverse proxy with upstream keep-alive. */
export function nginxProxy(options: ProxyOptions, directory: string): string[] {
  const { acceptTls, originateTls } = options;
  const tlsIn = acceptTls
    ? `ssl_certificate ${acceptTls.server.chain}; ssl_certificate_key ${acceptTls.server.key}; ssl_protocols TLSv1.3;
       ssl_session_cache shared:s:1m; ${options.anyClient ? '' : `ssl_client_certificate ${acceptTls.root}; ssl_verify_client on;`}`
    : '';
  const tlsOut = originateTls
    ? `proxy_ssl_certificate ${originateTls.client.chain}; proxy_ssl_certificate_key ${originateTls.client.key};
       proxy_ssl_trusted_certificate ${originateTls.root}; proxy_ssl_verify on; proxy_ssl_protocols TLSv1.3;
       proxy_ssl_server_name on; proxy_ssl_name ${originateTls.server.dnsName};`
    : '';
  const grpcPass = 'grpc_pass grpc://backend; grpc_read_timeout 1h;';
  const proxyPass = `proxy_pass ${originateTls ? 'https' : 'http'}://backend; ${PROXY_DIRECTIVES} ${tlsOut}`;
  // nginx speaks HTTP/2 to servers of gRPC only.
  const location = `location / { ${options.originateHttp2 ? grpcPass : proxyPass} }`;
  const listen = `listen 127.0.0.1:${options.listenPort}${acceptTls ? ' ssl' : ''}${options.acceptHttp2 ? ' http2' : ''}`;
  const named = (options.hostNames ?? [])
    .map((name) => `server { ${listen}; server_name ${name}; ${location} }`)
    .join('\n');
  const servers = `${upstream(options.backendPorts)}
  server { ${listen} default_server backlog=16384; server_name _; ${tlsIn} ${location} }
  ${named}`;
  const { name, accessLog, manyConnections } = options;
  return writeInstance({ directory, name, servers, accessLog, manyConnections });
}
