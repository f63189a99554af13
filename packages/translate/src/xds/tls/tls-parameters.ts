// Build: versions, suites and curves of TLS: what a resource says, else MeshConfig's `tlsDefaults`.

import { create } from '@bufbuild/protobuf';
import type { MeshConfig, ServerTlsSettings } from '@lateen/istio-config';
import {
  type TlsParameters,
  TlsParametersSchema,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';

const VERSIONS: Readonly<Record<string, TlsProtocol>> = {
  TLSV1_0: TlsProtocol.TLSv1_0,
  TLSV1_1: TlsProtocol.TLSv1_1,
  TLSV1_2: TlsProtocol.TLSv1_2,
  TLSV1_3: TlsProtocol.TLSv1_3,
};

/** A suite's name; what has other characters is an operator of BoringSSL's lists, and one proxy would read it otherwise. */
const SUITE = /^[A-Z0-9-]+$/;

/** Those of a list that both proxies read alike, each once. */
export function cipherSuitesOf(suites: readonly string[] | undefined): string[] {
  return [...new Set((suites ?? []).filter((suite) => SUITE.test(suite)))];
}

/** The least version by Istio's word; undefined where it leaves that open. */
export function tlsVersion(word: string | undefined): TlsProtocol | undefined {
  return VERSIONS[word ?? ''];
}

/** Undefined where nobody says anything; at least TLS 1.2 unless somebody does, as Istio has it. */
export function tlsParameters(
  { tlsDefaults }: MeshConfig,
  own: Pick<ServerTlsSettings, 'minProtocolVersion' | 'maxProtocolVersion' | 'cipherSuites'> = {},
): TlsParameters | undefined {
  const ownSuites = cipherSuitesOf(own.cipherSuites);
  const cipherSuites = ownSuites.length > 0 ? ownSuites : cipherSuitesOf(tlsDefaults?.cipherSuites);
  const ecdhCurves = [...new Set(tlsDefaults?.ecdhCurves ?? [])];
  const least = tlsVersion(own.minProtocolVersion) ?? tlsVersion(tlsDefaults?.minProtocolVersion);
  const highest = tlsVersion(own.maxProtocolVersion);
  if (cipherSuites.length + ecdhCurves.length === 0 && least === undefined && highest === undefined) return undefined;
  return create(TlsParametersSchema, {
    tlsMinimumProtocolVersion: least ?? TlsProtocol.TLSv1_2,
    ...(highest === undefined ? {} : { tlsMaximumProtocolVersion: highest }),
    cipherSuites,
    ecdhCurves,
  });
}
