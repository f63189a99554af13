// Analyzers: what the control plane has written into the status of resources.

import type { Report } from '../finding.js';
import type { MeshModel } from '../model/mesh-model.js';
import type { RawObject } from '../model/raw-object.js';

interface Condition {
  readonly type?: string;
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
}

/** Resources of Istio's kinds have their status in `raw`, since their declared form has none. */
export function analyzeStatus(_model: MeshModel, raw: readonly RawObject[], report: Report): void {
  for (const object of raw) {
    if (!/\.(istio|lateen)\.io\//.test(object.apiVersion) && !object.apiVersion.startsWith('lateen.io/')) continue;
    const { conditions = [] } = (object.status ?? {}) as { conditions?: readonly Condition[] };
    for (const { type = '', status, reason = '', message = '' } of conditions) {
      if (status !== 'False') continue;
      report(
        'IST0171',
        object,
        ['status', 'conditions'],
        `${type} is False (${reason}): ${message || 'see lateenctl proxy-status'}`,
      );
    }
  }
}
