// What the route at hand, or its virtual host, has in place of the configuration of a listener's filter
// (typed_per_filter_config).
import { ROUTE_CONFIG_TABLE, ROUTE_TABLE, ROUTE_VIRTUAL_HOST_TABLE } from '../../src/layout';
import { FILTER_ENTRY_BYTES, ROUTE_ENTRY_FILTERS, VIRTUAL_HOST_FILTERS } from '../../src/table-layout';

/** The record for the filter with this number, 0 where the filter is switched off, -1 where its own counts. */
export function routeConfigOf(filter: i32): i32 {
  const route = load<i32>(ROUTE_TABLE);
  // As in Envoy, a virtual host has no say where none of its routes matches.
  if (route == 0) return -1;
  const record = configAt(route + ROUTE_ENTRY_FILTERS, filter);
  return record < 0 ? configAt(load<i32>(ROUTE_VIRTUAL_HOST_TABLE) + VIRTUAL_HOST_FILTERS, filter) : record;
}

/** What one list has for the filter, -1 where it does not name it. `place` holds the list's offset and count. */
export function configAt(place: i32, filter: i32): i32 {
  let entry = load<i32>(ROUTE_CONFIG_TABLE) + load<i32>(place);
  for (let left = load<i32>(place + 4); left > 0; left--) {
    if (load<i32>(entry) == filter) return load<i32>(entry + 4);
    entry += FILTER_ENTRY_BYTES;
  }
  return -1;
}
