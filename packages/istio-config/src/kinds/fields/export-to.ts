// Fields: the namespaces that see a resource.
import { exportTarget } from '../../declare/formats.js';
import { list } from '../../declare/message.js';
import { text } from '../../declare/scalars.js';

/** Namespaces that see the resource: names, `.` for its own, `*` for all (the default). */
export const exportTo = list(
  text('', { format: exportTarget }),
  'Namespaces that see this: names, `.` for its own, `*` for all (the default).',
);
