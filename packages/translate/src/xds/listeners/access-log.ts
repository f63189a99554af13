// Build: file access loggers.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type AccessLog, AccessLogSchema } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '@lateen/xds-proto/envoy/extensions/access_loggers/file/v3/file_pb.js';
import type { FileAccessLog } from '../../resolve/access-logging.js';

/** An Envoy access logger that writes to a file (`/dev/stdout` is the proxy's own output). */
export function buildAccessLog({ path, format }: FileAccessLog): AccessLog {
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
      },
    },
  });
  return create(AccessLogSchema, {
    name: 'envoy.access_loggers.file',
    configType: { case: 'typedConfig', value: packAny(FileAccessLogSchema, message) },
  });
}
