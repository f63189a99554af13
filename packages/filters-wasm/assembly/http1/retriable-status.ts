// Whether the answer of an upstream is one that the route's policy tries again: by its status, or by gRPC's in its head.
import { RESP_GRPC_STATUS } from '../../src/layout';
import {
  POLICY_RETRIABLE_CODES, POLICY_RETRIABLE_CODE_COUNT, POLICY_RETRY_ON, RETRY_ON_5XX, RETRY_ON_CANCELLED,
  RETRY_ON_DEADLINE_EXCEEDED, RETRY_ON_GATEWAY_ERROR, RETRY_ON_INTERNAL, RETRY_ON_RESOURCE_EXHAUSTED,
  RETRY_ON_RETRIABLE_4XX, RETRY_ON_RETRIABLE_STATUS_CODES, RETRY_ON_UNAVAILABLE,
} from '../../src/table-layout';

const RETRY_ON_GRPC = RETRY_ON_CANCELLED | RETRY_ON_DEADLINE_EXCEEDED | RETRY_ON_INTERNAL | RETRY_ON_RESOURCE_EXHAUSTED |
  RETRY_ON_UNAVAILABLE;

/** See core-functions.ts. */
export function isRetriableStatus(policy: i32, status: i32): i32 {
  if (policy == 0) return 0;
  const on = load<i32>(policy + POLICY_RETRY_ON);
  if ((on & RETRY_ON_GRPC) != 0 && isRetriableGrpc(on)) return 1;
  if ((on & RETRY_ON_5XX) != 0 && status >= 500) return 1;
  if ((on & RETRY_ON_GATEWAY_ERROR) != 0 && status >= 502 && status <= 504) return 1;
  if ((on & RETRY_ON_RETRIABLE_4XX) != 0 && status == 409) return 1;
  if ((on & RETRY_ON_RETRIABLE_STATUS_CODES) == 0) return 0;
  for (let i = 0, count = load<i32>(policy + POLICY_RETRIABLE_CODE_COUNT); i < count; i++) {
    if (load<i32>(policy + POLICY_RETRIABLE_CODES + (i << 2)) == status) return 1;
  }
  return 0;
}

/** Only a head has been seen, so the status is one that came without messages. */
function isRetriableGrpc(on: i32): bool {
  switch (load<i32>(RESP_GRPC_STATUS)) {
    case 1:
      return (on & RETRY_ON_CANCELLED) != 0;
    case 4:
      return (on & RETRY_ON_DEADLINE_EXCEEDED) != 0;
    case 8:
      return (on & RETRY_ON_RESOURCE_EXHAUSTED) != 0;
    case 13:
      return (on & RETRY_ON_INTERNAL) != 0;
    case 14:
      return (on & RETRY_ON_UNAVAILABLE) != 0;
    default:
      return false;
  }
}
