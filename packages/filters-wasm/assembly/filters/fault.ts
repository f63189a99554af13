// Faults on purpose (envoy.extensions.filters.http.fault.v3): which request is held back, and which is answered with an error.
import {
  FAULT_ABORT_SHARE, FAULT_ABORT_STATUS, FAULT_DELAY_MS, FAULT_DELAY_SHARE, ROUTE_FAULT_ABORT_STATUS, ROUTE_FAULT_DELAY_MS,
} from '../../src/filter-layout';
import { LISTENER_FAULT, LISTENER_FAULT_FILTER } from '../../src/layout';
import { randomBelow } from '../random';
import { routeConfigOf } from './filter-config';

/** See core-functions.ts. */
export function decideFault(listener: i32): i32 {
  let fault = routeConfigOf(load<i32>(listener + LISTENER_FAULT_FILTER));
  if (fault < 0) {
    const own = load<i32>(listener + LISTENER_FAULT);
    fault = own == 0 ? 0 : listener + own;
  }
  if (fault == 0) return 0;
  // Two throws of the dice: a delay and an answer come independently of each other.
  const delay = chosen(fault + FAULT_DELAY_SHARE) ? load<i32>(fault + FAULT_DELAY_MS) : 0;
  const status = chosen(fault + FAULT_ABORT_SHARE) ? load<i32>(fault + FAULT_ABORT_STATUS) : 0;
  store<i32>(ROUTE_FAULT_DELAY_MS, delay);
  store<i32>(ROUTE_FAULT_ABORT_STATUS, status);
  return <i32>((delay | status) != 0);
}

@inline
function chosen(share: i32): bool {
  const limit = load<i32>(share);
  return limit != 0 && randomBelow(1000000) < limit;
}
