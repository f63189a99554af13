// Tests of readiness probes against real listeners.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_PROBE, type ProbeLoop, probeOnce, startProbeLoop } from './probe.js';

const WAIT = { timeout: 10_000, interval: 10 };

describe('probe', () => {
  const servers: Server[] = [];
  const loops: ProbeLoop[] = [];
  const listen = async (status: () => number): Promise<{ port: number; server: Server }> => {
    const server = createServer((_request, response) => response.writeHead(status()).end());
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return { port: (server.address() as AddressInfo).port, server };
  };
  afterEach(() => {
    for (const loop of loops.splice(0)) loop.stop();
    for (const server of servers.splice(0)) server.close();
  });

  const http = { ...DEFAULT_PROBE, kind: 'http' as const, path: '/health', periodMs: 20 };

  it('takes 200 to 399 as success and says what else came', async () => {
    const { port } = await listen(() => 503);
    expect(await probeOnce(http, '127.0.0.1', port)).toBe('GET /health answered 503');
    const other = await listen(() => 302);
    expect(await probeOnce(http, '127.0.0.1', other.port)).toBeUndefined();
  });

  it('by TCP is content with a connection', async () => {
    const { port, server } = await listen(() => 500);
    expect(await probeOnce(DEFAULT_PROBE, '127.0.0.1', port)).toBeUndefined();
    await new Promise((done) => server.close(done));
    expect(await probeOnce(DEFAULT_PROBE, '127.0.0.1', port)).toMatch(/ECONNREFUSED/);
  });

  it('follows a service that fails and recovers, with its thresholds', async () => {
    let status = 500;
    const { port } = await listen(() => status);
    const changes: boolean[] = [];
    const loop = startProbeLoop(
      http,
      () => ({ host: '127.0.0.1', port }),
      (ready) => changes.push(ready),
    );
    loops.push(loop);
    await vi.waitFor(() => expect(loop.reason).toContain('500'), WAIT);
    expect(loop.ready).toBe(false);
    status = 200;
    await vi.waitFor(() => expect(loop.ready).toBe(true), WAIT);
    status = 500;
    await vi.waitFor(() => expect(loop.ready).toBe(false), WAIT);
    expect(changes).toEqual([true, false]);
  });

  it('is not ready while the process does not run, and ready without a port while it does', async () => {
    let running = true;
    const loop = startProbeLoop(
      { ...DEFAULT_PROBE, periodMs: 20 },
      () => (running ? { host: '127.0.0.1', port: undefined } : undefined),
      () => {},
    );
    loops.push(loop);
    await vi.waitFor(() => expect(loop.ready).toBe(true), WAIT);
    running = false;
    await vi.waitFor(() => expect(loop.ready).toBe(false), WAIT);
  });
});
