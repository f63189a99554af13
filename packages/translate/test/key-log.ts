// Test support: remembers what each key stood for: one key must never stand for two different things.

import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { expect } from 'vitest';
import { type ProxyView, partsOf, type ResourcePart } from '../src/index.js';

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export class KeyLog {
  private readonly meanings = new Map<string, string>();

  /** Builds everything that a view consists of and compares it with what had the same key before. */
  noteView(view: ProxyView): void {
    const parts = partsOf(view);
    this.notePart(ClusterSchema, parts.outboundClusters);
    this.notePart(ClusterSchema, parts.localClusters);
    this.notePart(ClusterLoadAssignmentSchema, parts.endpoints);
    this.notePart(ListenerSchema, parts.listeners);
    this.notePart(RouteConfigurationSchema, parts.routes);
  }

  private notePart<Desc extends DescMessage>(schema: Desc, part: ResourcePart<MessageShape<Desc>>): void {
    const { recipes, problems } = part.list();
    const contents = recipes.map(({ name, key, build }) => {
      const bytes = hex(toBinary(schema, build()));
      this.note(`${schema.typeName} ${key}`, bytes);
      return [name, bytes];
    });
    this.note(`part of ${schema.typeName} ${part.key}`, JSON.stringify([contents, problems]));
  }

  private note(key: string, meaning: string): void {
    const before = this.meanings.get(key);
    if (before === undefined) this.meanings.set(key, meaning);
    else if (before !== meaning) expect({ key, meaning }).toEqual({ key, meaning: before });
  }
}
