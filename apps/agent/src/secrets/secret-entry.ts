// Secrets: PEM texts as the messages that proxies take, with all of it inline, since a proxy may see other files than the agent.

import { createHash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { DataSourceSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  CertificateValidationContextSchema,
  TlsCertificateSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { type Secret, SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { ResourceEntry } from '@lateen/xds-stream';

/** A certificate chain, the leaf first, and its key. */
export function certificateEntry(name: string, certificateChainPem: string, privateKeyPem: string): ResourceEntry {
  const value = create(TlsCertificateSchema, {
    certificateChain: inline(certificateChainPem),
    privateKey: inline(privateKeyPem),
  });
  return entryOf(create(SecretSchema, { name, type: { case: 'tlsCertificate', value } }));
}

/** Trust roots: everybody whose chain leads to one of them is taken, as far as names are not asked for as well. */
export function rootsEntry(name: string, rootsPem: string): ResourceEntry {
  const value = create(CertificateValidationContextSchema, { trustedCa: inline(rootsPem) });
  return entryOf(create(SecretSchema, { name, type: { case: 'validationContext', value } }));
}

const inline = (text: string) => create(DataSourceSchema, { specifier: { case: 'inlineString', value: text } });

function entryOf(secret: Secret): ResourceEntry {
  const any = packAny(SecretSchema, secret);
  return { version: createHash('sha256').update(any.value).digest('hex').slice(0, 16), any };
}
