// The descriptors that our own fileDesc makes are those that the library's would be.

import { create, createFileRegistry, type DescField, type DescFile, type DescMessage } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { AggregatedDiscoveryService } from '../gen/envoy/service/discovery/v3/ads_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js';
import { ApplyRequestSchema, ConfigAdmin } from '../gen/lateen/admin/v1/config_admin_pb.js';
import { xdsRegistry } from './type-registry.js';

function filesOf(): Map<string, DescFile> {
  const files = new Map<string, DescFile>();
  const visit = (file: DescFile): void => {
    if (files.has(file.name)) return;
    files.set(file.name, file);
    for (const dependency of file.dependencies) visit(dependency);
  };
  for (const type of xdsRegistry) visit(type.file);
  return files;
}

/** Each after what it imports. */
function inOrder(all: ReadonlyMap<string, DescFile>): Set<DescFile> {
  const sorted = new Set<DescFile>();
  const visit = (file: DescFile): void => {
    if (sorted.has(file)) return;
    for (const dependency of file.dependencies) visit(dependency);
    sorted.add(file);
  };
  for (const file of all.values()) visit(file);
  return sorted;
}

const files = filesOf();
const messages = [...files.values()].flatMap((file) =>
  [...nestedTypes(file)].filter((type): type is DescMessage => type.kind === 'message'),
);

/** What reading and writing a field depends on. */
function shape({ fieldKind, number, jsonName, localName, presence, oneof, ...rest }: DescField) {
  const { scalar, listKind, mapKind, mapKey, packed, delimitedEncoding, deprecated } = rest as unknown as DescField &
    Record<string, unknown>;
  const kinds = { fieldKind, scalar, listKind, mapKind, mapKey, packed, delimitedEncoding };
  return { number, jsonName, localName, presence, deprecated, oneof: oneof?.name, ...kinds };
}

describe('the descriptors of generated files', () => {
  it('import one another, not copies', () => {
    expect(files.size).toBeGreaterThan(100);
    for (const file of files.values()) {
      for (const dependency of file.dependencies) expect(files.get(dependency.name)).toBe(dependency);
      expect(file.dependencies.map(({ proto }) => proto.name)).toEqual(file.proto.dependency);
    }
  });

  it('have fields of the very types that the files declare', () => {
    const declared = new Set<unknown>([...files.values()].flatMap((file) => [...nestedTypes(file)]));
    expect(messages.length).toBeGreaterThan(500);
    for (const message of messages) {
      for (const { parent } of [...message.nestedMessages, ...message.nestedEnums, ...message.oneofs]) {
        expect(parent).toBe(message);
      }
      for (const field of message.fields) {
        if (field.message !== undefined) expect(declared.has(field.message)).toBe(true);
        if (field.enum !== undefined) expect(declared.has(field.enum)).toBe(true);
        expect(field.parent).toBe(message);
      }
    }
  });

  it('have methods of the very types that the files declare', () => {
    const method = AggregatedDiscoveryService.method.deltaAggregatedResources;
    expect(method.input).toBe(DeltaDiscoveryRequestSchema);
    expect(method.output).toBe(DeltaDiscoveryResponseSchema);
    const { apply } = ConfigAdmin.method;
    // Of the same file as the service.
    expect(apply.input).toBe(ApplyRequestSchema);
  });

  it("are as the library's own registry makes them", () => {
    // The protos have their fields only once these were looked at.
    for (const message of messages) expect(message.proto.field).toHaveLength(message.fields.length);
    const whole = createFileRegistry(
      create(FileDescriptorSetSchema, { file: [...inOrder(files)].map(({ proto }) => proto) }),
    );
    for (const message of messages) {
      const expected = whole.getMessage(message.typeName)!;
      expect(message.fields.map(String)).toEqual(expected.fields.map(String));
      expect(message.fields.map((field) => field.message?.typeName ?? field.enum?.typeName)).toEqual(
        expected.fields.map((field) => field.message?.typeName ?? field.enum?.typeName),
      );
      expect(message.fields.map(shape)).toEqual(expected.fields.map(shape));
      expect(Object.keys(message.field)).toEqual(Object.keys(expected.field));
      expect(message.members.map(String)).toEqual(expected.members.map(String));
      expect(message.oneofs.map(String)).toEqual(expected.oneofs.map(String));
    }
  });
});
