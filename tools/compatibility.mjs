// Writes docs/compatibility.md from the sidecar's support tables, which also validate; with --check, fails where the page is
// out of date. Needs a build.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../docs/compatibility.md', import.meta.url));
const BUILT = new URL('../apps/sidecar/build/config/support/compatibility-page.js', import.meta.url);

if (!existsSync(BUILT)) {
  console.error('the sidecar is not built; run `npm run build` first');
  process.exit(1);
}
const { compatibilityPage } = await import(BUILT);
const page = compatibilityPage();
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
