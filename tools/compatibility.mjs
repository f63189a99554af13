// Writes docs/compatibility.md from the sidecar's support tables, which also validate, and from test/interop/differences.md; with
// --check, fails where the page is out of date. Fails where a case that differs from stock Envoy is not named there. Needs a build.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../docs/compatibility.md', import.meta.url));
const BUILT = new URL('../apps/sidecar/build/config/support/compatibility-page.js', import.meta.url);

if (!existsSync(BUILT)) {
  console.error('the sidecar is not built; run `npm run build` first');
  process.exit(1);
}
const { compatibilityPage } = await import(BUILT);
const differences = readFileSync(new URL('../test/interop/differences.md', import.meta.url), 'utf8');
const unnamed = differingCases().filter(
  (name) => ![name, name.replace(/\/.*/, '/*')].some((each) => differences.includes(`\`${each}\``)),
);
if (unnamed.length > 0) {
  console.error(
    `test/interop/differences.md does not name these cases, which differ from stock Envoy: ${unnamed.join(', ')}`,
  );
  process.exit(1);
}
const page = compatibilityPage(differences);
const present = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
if (process.argv.includes('--check')) {
  if (page !== present) {
    console.error('docs/compatibility.md is out of date; run `npm run docs:compatibility`');
    process.exit(1);
  }
  console.log('docs/compatibility.md is up to date');
} else {
  writeFileSync(PAGE, page);
  console.log(`docs/compatibility.md: ${page.split('\n').length} lines`);
}

/** Cases that say of some field, or of themselves, that stock Envoy does otherwise. */
function differingCases() {
  const tests = fileURLToPath(new URL('../test/', import.meta.url));
  const files = (folder, pattern) =>
    readdirSync(`${tests}${folder}`, { recursive: true })
      .filter((file) => pattern.test(file))
      .map((file) => [file.replace(pattern, ''), readFileSync(`${tests}${folder}/${file}`, 'utf8')]);
  const named = (prefix, cases) => cases.map(([name, text]) => [`${prefix}${name}`, text]);
  return [
    ...files('conformance/cases', /\/requests\.yaml$/),
    ...named('security/', files('conformance/security', /\/requests\.yaml$/)),
    ...named('standalone-cases/', files('interop/standalone-cases', /\.yaml$/)),
    ...named('tcp-cases/', files('interop/tcp-cases', /\.yaml$/)),
  ]
    .filter(([, text]) => /\b(differs|withoutEnvoy|because):/.test(text))
    .map(([name]) => name);
}
