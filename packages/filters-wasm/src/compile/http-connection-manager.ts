// An HttpConnectionManager's fields as listener options; what is not supported is named.
import type { HttpConnectionManager } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ListenerOptions } from '../listener-options.js';
import type { CompileProblem } from './problems.js';

export interface CompiledConnectionManager {
  readonly options: ListenerOptions;
  readonly problems: readonly CompileProblem[];
}

/**
 * Takes everything but `route_specifier`, `http_filters`, `access_log` and timeouts, which the proxy reads itself; the
 * peer fields of the options are left empty for the metadata-exchange filter to fill in.
 */
export declare function compileHttpConnectionManager(
  hcm: HttpConnectionManager,
  listenerName: string,
): CompiledConnectionManager;
