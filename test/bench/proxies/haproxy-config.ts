// Benchmark: haproxy as the peer that proxies, one thread.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProxyOptions } from './proxy-options.js';

/** haproxy wants certificate and key in one file. */
function joinedPem(directory: string, name: string, files: { chain: string; key: string }): string {
  const path = join(directory, `${name}.pem`);
  writeFileSync(path, `${readFileSync(files.chain, 'utf8').trim()}\n${readFileSync(files.key, 'utf8')}`, {
    mode: 0o600,
  });
  return path;
}

/** A reverse proxy with upstream keep-alive; its access log goes to standard output, since haproxy writes no files. */
export function haproxyProxy(options: ProxyOptions, directory: string): string[] {
  const prefix = join(directory, `haproxy-${options.name}`);
  mkdirSync(prefix, { recursive: true });
  const { acceptTls, originateTls } = options;
  let bind = `127.0.0.1:${options.listenPort} backlog 16384`;
  if (acceptTls) {
    bind += ` ssl crt ${joinedPem(prefix, 'server', acceptTls.server)} ssl-min-ver TLSv1.3`;
    if (!options.anyClient) bind += ` ca-file ${acceptTls.root} verify required`;
  }
  const upstreamTls = originateTls
    ? ` ssl crt ${joinedPem(prefix, 'client', originateTls.client)} ca-file ${originateTls.root} verify required ssl-min-ver TLSv1.3 sni str(${originateTls.server.dnsName}) verifyhost ${originateTls.server.dnsName}`
    : '';
  const hosts = join(prefix, 'hosts.map');
  writeFileSync(hosts, `${(options.hostNames ?? []).map((name) => `${name} backend`).join('\n')}\n`);
  const byHost = `  acl jason req.hdr(end-user) -m str jason
  use_backend %[req.hdr(host),field(1,:),lower,map_str(${hosts},none)] if jason
  use_backend %[req.hdr(host),field(1,:),lower,map_str(${hosts},none)]`;
  const config = `
global
  nbthread 1
  maxconn ${options.manyConnections ? '11000\n  no strict-limits' : 4096}
  ${options.accessLog === undefined ? '' : 'log stdout format raw local0'}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
  ${options.accessLog === undefined ? '' : 'log global\n  option httplog'}
frontend front
  bind ${bind}
${options.hostNames === undefined ? '' : byHost}
  default_backend backend
backend backend
  balance roundrobin
${options.backendPorts.map((port, index) => `  server s${index} 127.0.0.1:${port} pool-max-conn 256${options.originateHttp2 ? ' proto h2' : ''}${upstreamTls}`).join('\n')}
`;
  const path = join(prefix, 'haproxy.cfg');
  writeFileSync(path, config);
  return ['haproxy', '-db', '-q', '-f', path];
}
