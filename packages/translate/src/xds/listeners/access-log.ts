// Build: access loggers: files, and audits, whose records a Lateen sidecar chains.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny } from '@lateen/xds-proto';
import { type AccessLog, AccessLogSchema } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '@lateen/xds-proto/envoy/extensions/access_loggers/file/v3/file_pb.js';
import type { EffectiveAccessLog, FileAccessLog } from '../../resolve/access-logging.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { AuditLog } from '../../resolve/lateen/audit-logs.js';
import { buildCollectorLog } from './audit-collector-log.js';

/** By this name a Lateen sidecar knows an audit. Any other proxy goes by the type alone: it chains nothing. */
const AUDIT_LOG = 'lateen.audit';

/**
 * Envoy access loggers (`/dev/stdout` is the proxy's own output).
 * @param what what a record is of
 * @param hasStateDirectory the proxy keeps files of its own, which relative paths are in; others get such logs on stdout
 */
export function buildAccessLogs(
  scope: ClientScope,
  logs: readonly EffectiveAccessLog[],
  what: 'request' | 'connection',
  hasStateDirectory: boolean,
): AccessLog[] {
  return logs.map((log) => {
    if ('format' in log) return named('envoy.access_loggers.file', fileLog(log));
    return buildAudit(scope, log, what, hasStateDirectory);
  });
}

function buildAudit(
  scope: ClientScope,
  { members, to }: AuditLog,
  what: 'request' | 'connection',
  hasStateDirectory: boolean,
): AccessLog {
  const typed = { type: what, ...members };
  if ('path' in to) {
    const path = hasStateDirectory || to.path.startsWith('/') ? to.path : '/dev/stdout';
    return named(AUDIT_LOG, fileLog({ path, format: { json: typed } }));
  }
  return named(AUDIT_LOG, buildCollectorLog(scope, to, typed, AUDIT_LOG));
}

function fileLog({ path, format, omitsEmptyValues }: FileAccessLog): Any {
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
  return packAny(FileAccessLogSchema, message);
}

function named(name: string, value: Any): AccessLog {
  return create(AccessLogSchema, { name, configType: { case: 'typedConfig', value } });
}
