// Repository check: every row of docs/security.md names tests that are there.
import { existsSync, readFileSync } from 'node:fs';

const PAGE = 'docs/security.md';
const NAMED = /`([^`]+)`: \*([^*]+)\*/g;

/** The file of a named test: itself, or the requests of a case of conformance. */
function fileOf(test) {
  if (test.includes('.')) return test;
  const folder = test.startsWith('security/') ? 'test/conformance' : 'test/conformance/cases';
  return `${folder}/${test}/requests.yaml`;
}

/** What is wrong with the page, a line each. */
export function untestedAttempts() {
  const breaches = [];
  for (const row of readFileSync(PAGE, 'utf8').split('\n')) {
    const cells = row.split(/(?<!\\)\|/).map((cell) => cell.trim());
    if (cells.length !== 5 || cells[1] === 'attempt' || /^-+$/.test(cells[1])) continue;
    const [, attempt, published, tests] = cells;
    if (!/\b(CVE-\d{4}-\d+|GHSA-|CWE-\d+|RFC \d+|ISTIO-SECURITY-|SPIFFE)/.test(published)) {
      breaches.push(`${attempt}: does not say where the weakness was published`);
    }
    const named = [...tests.matchAll(NAMED)];
    if (named.length === 0) breaches.push(`${attempt}: names no test`);
    for (const [, test, name] of named) {
      const file = fileOf(test);
      if (!existsSync(file)) breaches.push(`${attempt}: ${file} is not there`);
      else if (!readFileSync(file, 'utf8').includes(name)) breaches.push(`${attempt}: ${file} has no “${name}”`);
    }
  }
  return breaches;
}
