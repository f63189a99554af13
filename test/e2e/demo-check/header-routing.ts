// Demo check, acceptance line 1: routing by header, and round robin over two replicas.

import { readFileSync } from 'node:fs';
import { type Check, require, until } from './check.js';
import { call } from './http-call.js';
import type { MeshUnderTest } from './mesh-under-test.js';

const PAGES = 10;
const CALLS = 100;
/** Of 100 calls over two replicas. */
const EVEN_SHARE = 50;
const TOLERANCE = 2;
const READY_LIMIT_MS = 30_000;

export const headerRoutingChecks: readonly Check[] = [
  {
    line: 1,
    name: 'jason gets reviews v2, everybody else v1',
    run: async (mesh) => {
      const jason = await mesh.signIn('jason');
      const other = await mesh.signIn('maria');
      for (let page = 0; page < PAGES; page++) {
        await expectVersion(mesh, jason, 'v2', 'jason');
        await expectVersion(mesh, other, 'v1', 'maria');
        await expectVersion(mesh, undefined, 'v1', 'nobody signed in');
      }
      return `${PAGES * 3} pages`;
    },
  },
  {
    line: 1,
    name: 'two replicas of v1 share 100 calls evenly',
    run: async (mesh) => {
      await scaleReviewsV1(mesh, 2);
      const url = `${await mesh.serviceUrl('reviews')}/reviews/0`;
      await until(READY_LIMIT_MS, async () => {
        const pods = new Set([await servedBy(url), await servedBy(url)]);
        require(pods.size === 2, `two calls after another were served by ${[...pods].join()} alone`);
      });
      const counts = new Map<string, number>();
      for (let count = 0; count < CALLS; count++) {
        const pod = await servedBy(url);
        counts.set(pod, (counts.get(pod) ?? 0) + 1);
      }
      const shares = [...counts.values()].sort((a, b) => a - b);
      await scaleReviewsV1(mesh, 1);
      require(shares.length === 2, `${shares.length} pods served, not 2`);
      require(shares.every(
        (share) => Math.abs(share - EVEN_SHARE) <= TOLERANCE,
      ), `the shares are ${shares.join(' and ')}, not ${EVEN_SHARE} ± ${TOLERANCE}`);
      return shares.join(' and ');
    },
  },
];

async function expectVersion(
  mesh: MeshUnderTest,
  cookie: string | undefined,
  version: string,
  who: string,
): Promise<void> {
  const seen = await mesh.reviews(cookie);
  require(seen.version === version, `${who} gets reviews ${seen.version} from ${seen.pod}, not ${version}`);
}

async function servedBy(url: string): Promise<string> {
  const { status, body } = await call(url);
  require(status === 200, `${url} answers ${status}: ${body.slice(0, 200)}`);
  return (JSON.parse(body) as { podname: string }).podname;
}

/** Applies bookinfo.yaml's own Deployment with another number of replicas. */
async function scaleReviewsV1(mesh: MeshUnderTest, replicas: number): Promise<void> {
  const documents = readFileSync(mesh.file('examples/bookinfo/bookinfo.yaml'), 'utf8').split(/^---$/m);
  const document = documents.find((each) => /kind: Deployment\nmetadata:\n {2}name: reviews-v1\n/.test(each));
  require(document !== undefined, 'bookinfo.yaml has no Deployment reviews-v1');
  const text = document.replace(/replicas: \d+/, `replicas: ${replicas}`);
  // A document from standard input runs its command in the directory of lateenctl; here the file's.
  await mesh.lateenctl(['apply', '-f', '-'], text, 'examples/bookinfo');
  await until(READY_LIMIT_MS, async () => {
    const pods = await mesh.pods('reviews-v1');
    require(pods.length === replicas &&
      pods.every((pod) => pod.ready), `reviews-v1 has ${pods.length} pods, not all ready`);
  });
}
