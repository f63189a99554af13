// ADS client: tells how the application behind it is, and leaves in order.

import { create } from '@bufbuild/protobuf';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { expect, test, vi } from 'vitest';
import { AdsClient } from './client.js';
import type { AdsTransport } from './client-transport.js';
import type { ClientStreamEvents } from './client-types.js';
import { HEALTH_INFORMATION_TYPE_URL } from './server/model.js';

interface Opened {
  readonly sent: (DiscoveryRequest | DeltaDiscoveryRequest)[];
  readonly events: Pick<ClientStreamEvents<never>, 'onOpen' | 'onEnd'>;
  finished: boolean;
}

function openedStreams() {
  const streams: Opened[] = [];
  const open = (events: Opened['events']) => {
    const stream: Opened = { sent: [], events, finished: false };
    streams.push(stream);
    return {
      send: (request: DiscoveryRequest | DeltaDiscoveryRequest) => void stream.sent.push(request),
      finish: () => {
        stream.finished = true;
      },
      cancel: () => {},
    };
  };
  const transport: AdsTransport = { openSotw: open, openDelta: open, close: () => {} };
  return { streams, transport };
}

test.each(['sotw', 'delta'] as const)('%s: on each stream anew, and at the end', async (protocol) => {
  const { streams, transport } = openedStreams();
  const node = create(NodeSchema, { id: 'me' });
  const client = new AdsClient({ transport, protocol, node, backoff: { initialMs: 1, maxMs: 2 } });
  const told = (stream: number) =>
    streams[stream]!.sent.filter(({ typeUrl }) => typeUrl === HEALTH_INFORMATION_TYPE_URL).map(
      ({ errorDetail }) => errorDetail?.message,
    );
  client.reportHealth(undefined);
  client.start();
  expect(told(0)).toEqual([undefined]);
  expect(streams[0]!.sent[0]!.node?.id).toBe('me');
  client.reportHealth('too hot');
  streams[0]!.events.onEnd('cut');
  await vi.waitFor(() => expect(streams.length).toBe(2));
  expect(told(0)).toEqual([undefined, 'too hot']);
  expect(told(1)).toEqual(['too hot']);
  streams[1]!.events.onOpen();
  const left = client.leave('stopping', 60_000);
  expect(told(1)).toEqual(['too hot', 'stopping']);
  expect(streams[1]!.finished).toBe(true);
  streams[1]!.events.onEnd('the server ended the stream');
  await left;
  client.close();
});

test('who is not connected leaves at once, and a server that says nothing is not waited for', async () => {
  const { streams, transport } = openedStreams();
  const client = new AdsClient({ transport, protocol: 'delta', node: create(NodeSchema, { id: 'me' }) });
  await client.leave('stopping', 60_000);
  client.start();
  streams[0]!.events.onOpen();
  await client.leave('stopping', 1);
  client.close();
});
