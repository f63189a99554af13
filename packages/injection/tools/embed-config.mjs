// Build step: makes the default configuration, which people read as YAML, a module, since the package reads no files.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageDir = dirname(dirname(fileURLToPath(import.meta.url)));
const genDir = join(packageDir, 'src', 'gen');
const text = (name) => JSON.stringify(readFileSync(join(packageDir, 'templates', name), 'utf8'));

mkdirSync(genDir, { recursive: true });
writeFileSync(
  join(genDir, 'default-config.ts'),
  `// Generated from templates/ by tools/embed-config.mjs.
/** The key \`config\` of the ConfigMap. */
export const DEFAULT_CONFIG_TEXT: string = ${text('config.yaml')};
/** The key \`values\` of the ConfigMap. */
export const DEFAULT_VALUES_TEXT: string = ${text('values.yaml')};
`,
);
