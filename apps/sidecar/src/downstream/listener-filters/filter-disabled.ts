// Downstream: the connections that a listener filter leaves alone, by the port that they were opened to.

import type {
  ListenerFilter,
  ListenerFilterChainMatchPredicate,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';

/** Whether a filter leaves connections to a port alone. */
export type DisabledFor = (port: number) => boolean;

function compile({ rule }: ListenerFilterChainMatchPredicate): DisabledFor {
  switch (rule.case) {
    case 'orMatch': {
      const rules = rule.value.rules.map(compile);
      return (port) => rules.some((each) => each(port));
    }
    case 'andMatch': {
      const rules = rule.value.rules.map(compile);
      return (port) => rules.every((each) => each(port));
    }
    case 'notMatch': {
      const negated = compile(rule.value);
      return (port) => !negated(port);
    }
    case 'anyMatch':
      return () => rule.value;
    case 'destinationPortRange': {
      const { start, end } = rule.value;
      return (port) => port >= start && port < end;
    }
    default:
      // Nothing is said: the filter looks at all connections.
      return () => false;
  }
}

/** Undefined where the filter looks at every connection. */
export function disabledFor({ filterDisabled }: ListenerFilter): DisabledFor | undefined {
  return filterDisabled === undefined ? undefined : compile(filterDisabled);
}
