// External authorization: what an authorizer answers by gRPC (envoy.service.auth.v3.CheckResponse).

import { fromBinary, type JsonValue } from '@bufbuild/protobuf';
import { type CheckResponse, CheckResponseSchema } from '@lateen/xds-proto/envoy/service/auth/v3/external_auth_pb.js';
import { readAnswerChange, readDenialHeader, readRequestChange } from './header-change.js';
import { NO_CHANGES, type Verdict } from './verdict.js';

const FORBIDDEN = 403;

/** Failed where the bytes are no CheckResponse. */
export function readCheckAnswer(message: Uint8Array): Verdict {
  let answer: CheckResponse;
  try {
    answer = fromBinary(CheckResponseSchema, message);
  } catch {
    // Not protobuf: the caller counts it as an error of the authorizer.
    return { kind: 'failed', reason: 'an answer that is no CheckResponse' };
  }
  const { httpResponse, status } = answer;
  const metadata = metadataOf(answer);
  // As in Envoy an answer that says no status is a yes.
  if ((status?.code ?? 0) === 0) {
    if (httpResponse.case !== 'okResponse') return { kind: 'allowed', request: NO_CHANGES, answer: [], metadata };
    const ok = httpResponse.value;
    return {
      kind: 'allowed',
      request: {
        headers: ok.headers.map(readRequestChange),
        removed: ok.headersToRemove,
        parametersSet: ok.queryParametersToSet.map(({ key, value }) => [key, value]),
        parametersRemoved: ok.queryParametersToRemove,
      },
      answer: ok.responseHeadersToAdd.map(readAnswerChange),
      metadata,
    };
  }
  const denied = httpResponse.case === 'deniedResponse' ? httpResponse.value : undefined;
  return {
    kind: 'denied',
    status: denied?.status?.code || FORBIDDEN,
    body: Buffer.from(denied?.body ?? '', 'utf8').toString('latin1'),
    headers: (denied?.headers ?? []).map(readDenialHeader),
    metadata,
  };
}

/** That of an OkHttpResponse, which is deprecated, takes the place of the other. */
function metadataOf({ dynamicMetadata, httpResponse }: CheckResponse): [string, string][] {
  const own = httpResponse.case === 'okResponse' ? httpResponse.value.dynamicMetadata : undefined;
  return Object.entries(own ?? dynamicMetadata ?? {}).map(([name, value]) => [name, textOf(value)]);
}

function textOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
