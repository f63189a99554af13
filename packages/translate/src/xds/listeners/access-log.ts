// Build: file access loggers.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type AccessLog, AccessLogSchema } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '@lateen/xds-proto/envoy/extensions/access_loggers/file/v3/file_pb.js';
import type { FileAccessLog } from '../../resolve/access-logging.js';

/** By this name a Lateen sidecar knows an audit. Any other proxy goes by the type alone and writes a JSON file. */
const AUDIT_LOG = 'lateen.audit';

/**
 * Envoy access loggers that write to files (`/dev/stdout` is the proxy's own output).
 * @param what what a record is of
 * @param hasStateDirectory the proxy keeps files of its own, which relative paths are in; others get such logs on stdout
 */
export function buildAccessLogs(
  logs: readonly FileAccessLog[],
  what: 'request' | 'connection',
  hasStateDirectory: boolean,
): AccessLog[] {
  return logs.map((log) => {
    if (log.audit === undefined) return buildAccessLog('envoy.access_loggers.file', log);
    const path = hasStateDirectory || log.path.startsWith('/') ? log.path : '/dev/stdout';
    const json = 'json' in log.format ? { type: what, ...log.format.json } : {};
    return buildAccessLog(AUDIT_LOG, { path, format: { json } });
  });
}

function buildAccessLog(name: string, { path, format, omitsEmptyValues }: FileAccessLog): AccessLog {
  const message = create(FileAccessLogSchema, {
    path,
    accessLogFormat: {
      case: 'logFormat',
      value: {
        format:
          'text' in format
            ? {
                case: 'textFormatSource',
                value: { specifier: { case: 'inlineString', value: format.text } },
              }
            : { case: 'jsonFormat', value: { ...format.json } },
        omitEmptyValues: omitsEmptyValues ?? false,
      },
    },
  });
  return create(AccessLogSchema, {
    name,
    configType: { case: 'typedConfig', value: packAny(FileAccessLogSchema, message) },
  });
}
