// TCP proxy: connections that are cut while something is still on its way leave nothing behind.

import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { TestAuthority } from '@lateen/identity/testing';
import { describe, expect, it } from 'vitest';
import { cluster, dataPlaneConfig, endpointOf, listener, tlsSocket } from '../testing/envoy-config.js';
import { workloadSecrets } from '../testing/mesh-identity.js';
import { startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { echo, openClient, startTcpServer, tcpProxy } from './tcp-fixture.js';

/** Under a TLS client: what the client writes goes on while `held` is undefined, and is gathered from then on. */
class HeldWire extends Duplex {
  held: Buffer[] | undefined;
  constructor(private readonly below: Socket) {
    super();
    below.on('data', (bytes) => this.push(bytes));
    below.on('error', () => {});
  }
  override _read(): void {}
  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    if (this.held === undefined) {
      this.held = [];
      this.below.write(bytes);
    } else this.held.push(bytes);
    done();
  }
}

describe('a TCP connection that is cut', () => {
  it('ends where a TLS client resets it right after its handshake', async () => {
    const authority = await TestAuthority.create();
    const { dataPlane, port } = await startProxy(
      dataPlaneConfig(
        [
          listener('l', [
            {
              filters: [tcpProxy({ cluster: 'c' }, { idle_timeout: '0s' })],
              transport_socket: tlsSocket('Downstream', {
                tls_certificate_sds_secret_configs: [{ name: 'default' }],
              }),
            },
          ]),
        ],
        [cluster('c', [endpointOf(await startTcpServer(echo))])],
        await workloadSecrets(authority, 'test'),
      ),
    );
    const raw = connect(port(), '127.0.0.1');
    // The ClientHello goes out; all that comes after it leaves at once, with a reset right behind it.
    const wire = new HeldWire(raw);
    const client = connectTls({ socket: wire, rejectUnauthorized: false });
    client.on('error', () => {});
    await new Promise((resolve) => client.once('secureConnect', resolve));
    client.write(Buffer.alloc(60_000));
    await eventually(() => (wire.held ?? []).reduce((sum, { length }) => sum + length, 0) > 60_000, 'all is written');
    raw.write(Buffer.concat(wire.held ?? []));
    raw.resetAndDestroy();
    await eventually(() => dataPlane.stats.tcpCxTotal === 1, 'the handshake is complete');
    await eventually(() => dataPlane.stats.tcpCxActive === 0, 'the connection is over');
    expect(dataPlane.stats).toMatchObject({ downstreamCxActive: 0, upstreamCxActive: 0 });
  });

  it('ends with its proxy where the peers have not taken what was written to them', async () => {
    const upstream = await startTcpServer((socket) => {
      socket.pause();
      const more = (error?: Error | null): void => {
        if (!error) socket.write(Buffer.alloc(1_000_000), more);
      };
      more();
    });
    const { dataPlane, port } = await startProxy(
      dataPlaneConfig(
        [listener('l', [{ filters: [tcpProxy({ cluster: 'c' })] }])],
        [cluster('c', [endpointOf(upstream)])],
      ),
    );
    const client = await openClient(port());
    client.pause();
    client.on('error', () => {});
    client.write(Buffer.alloc(20_000_000));
    const used = () => dataPlane.stats.ringUsedBytes;
    await eventually(() => used() > 2 * 128 * 1024, 'both directions are backed up');
    await dataPlane.close();
    await eventually(() => dataPlane.stats.tcpCxActive === 0, 'the connection is over');
    expect(used()).toBe(0);
  });
});
