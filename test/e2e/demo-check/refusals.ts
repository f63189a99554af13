// Demo check, acceptance line 5: what is wrong is refused where it enters, by name and place, and nothing changes.

import { TYPE_URL } from '@lateen/xds-proto';
import { type Check, require, until } from './check.js';
import { call } from './http-call.js';
import { SpareSidecar } from './spare-sidecar.js';

/** Three mistakes, on lines 13, 14 and 16. */
const THREE_MISTAKES = `apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: v1
      weight: -1
    timeout: 5q
    match:
    - header:
        end-user:
          exact: jason
`;
const MISTAKES = [
  { line: 13, path: 'spec.http[0].route[0].weight' },
  { line: 14, path: 'spec.http[0].timeout' },
  { line: 16, path: 'spec.http[0].match[0].header' },
];
const SIDECAR_LIMIT_MS = 15_000;
/** The field that is broken, as it stands in the resource. */
const BAD_FIELD = 'virtual_hosts[0].routes[0].route.timeout';

interface ReportedProblem {
  readonly file: string;
  readonly line: number;
  readonly path: string;
  readonly severity: string;
  readonly message: string;
}

export const refusalChecks: readonly Check[] = [
  {
    line: 5,
    name: 'a YAML with three mistakes: all are reported with file, line and path, and nothing changes',
    run: async (mesh) => {
      const show = () => mesh.lateenctl(['get', 'virtualservice', 'reviews', '-o', 'yaml']);
      const before = await show();
      const applied = await mesh.run(['apply', '-f', '-'], THREE_MISTAKES);
      require(applied.exitCode === 1, `apply exits ${applied.exitCode}, not 1: ${applied.stderr}`);
      const lines = applied.stderr.split('\n');
      for (const { line, path } of MISTAKES) {
        const found = lines.find((text) => text.startsWith(`<stdin>:${line}:`) && text.includes(` ${path}: `));
        require(found !== undefined, `apply does not report ${path} at line ${line}; it says:\n${applied.stderr}`);
      }
      require((await show()) === before, 'the VirtualService has changed');
      require((await mesh.reviews()).version === 'v1', 'the page has changed');

      const validated = await mesh.run(['validate', '-f', '-', '-o', 'json'], THREE_MISTAKES);
      require(validated.exitCode === 1, `validate exits ${validated.exitCode}, not 1`);
      const problems = (JSON.parse(validated.stdout) as ReportedProblem[]).filter(
        ({ severity }) => severity === 'error',
      );
      const reported = problems.map(({ file, line, path }) => `${file}:${line} ${path}`).join(', ');
      const expected = MISTAKES.map(({ line, path }) => `<stdin>:${line} ${path}`).join(', ');
      require(reported === expected, `validate reports ${reported}, not ${expected}`);
      return expected;
    },
  },
  {
    line: 5,
    name: 'an xDS resource with a bad field is refused by its path; the old one serves',
    run: async (mesh) => {
      const sidecar = await SpareSidecar.start(mesh.repository);
      try {
        await until(SIDECAR_LIMIT_MS, () => expectBackend(sidecar));
        sidecar.ads.update(sidecar.resourcesWith({ timeout: '-1s' }));
        const { value: text } = await until(SIDECAR_LIMIT_MS, async () => {
          const [first] = sidecar.ads.rejections.get(TYPE_URL.listener) ?? [];
          require(first !== undefined, 'no NACK came');
          return first;
        });
        require(text.includes(BAD_FIELD), `the NACK does not name ${BAD_FIELD}: ${text}`);
        await expectBackend(sidecar);
        sidecar.ads.update(sidecar.resourcesWith({ timeout: '1s' }));
        await expectBackend(sidecar);
        return text.split('\n')[0];
      } catch (error) {
        const output = sidecar.output().trim().split('\n').slice(-3).join('\n');
        throw new Error(`${(error as Error).message}\nthe sidecar says: ${output}`);
      } finally {
        await sidecar.close();
      }
    },
  },
];

async function expectBackend(sidecar: SpareSidecar): Promise<void> {
  const { status, body } = await call(sidecar.url);
  require(status === 200 && body === 'backend', `the sidecar answers ${status}: ${body.slice(0, 100)}`);
}
