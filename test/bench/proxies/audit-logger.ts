// Benchmark: an audit log as Pilot asks for it, for proxies that run without Pilot.

import { resolveAuditLog } from '@lateen/translate';

/** The members of a record of a request. */
export const AUDIT_FORMAT = { type: 'request', ...resolveAuditLog({}, 'inbound').members };

/** An access logger that a Lateen sidecar chains. */
export function auditLogger(path: string): object {
  return {
    name: 'lateen.audit',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path,
      log_format: { json_format: AUDIT_FORMAT },
    },
  };
}
