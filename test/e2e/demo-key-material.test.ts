// End-to-end: `npm run demo` with Bookinfo under traffic and with requests that fail: keys and tokens are in private files, and shown nowhere.

import { readdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { httpGet } from '../harness/http-get.js';
import { REPOSITORY } from '../harness/repository.js';
import { runCommand } from '../harness/run-command.js';
import { BookinfoDemo } from '../tasks/bookinfo-demo.js';
import { filesBelow, filesWrittenBy, outputsOf, type ShownMesh, secretsOf, shownIn } from './key-material.js';
import type { StatusSeen } from './local-mesh.js';

const TIME_LIMIT_MS = 180_000;
const SERVICES = ['productpage', 'details', 'reviews', 'ratings'];

let demo: BookinfoDemo;
let mesh: ShownMesh;
beforeAll(async () => {
  demo = await BookinfoDemo.start();
  const status = async () => JSON.parse(await demo.lateenctl('local', 'status', '-o', 'json')) as StatusSeen;
  mesh = {
    stateDir: demo.stateDir,
    status,
    pids: async () => (await status()).processes.flatMap(({ pid }) => (pid === null ? [] : [pid])),
    run: (...args) =>
      runCommand(process.execPath, [join(REPOSITORY, 'bin/lateenctl'), ...args], {
        directory: REPOSITORY,
        env: { LATEEN_STATE_DIR: demo.stateDir },
      }),
  };
}, TIME_LIMIT_MS);
afterAll(() => demo?.stop());

it(
  'has keys and tokens in private files only, and shows them nowhere',
  async () => {
    const { pods, ingress } = await mesh.status();
    const base = `http://127.0.0.1:${ingress.port}`;
    // What goes well, what does not, and what a proxy or a parser refuses.
    for (const path of ['/productpage', '/productpage', '/no-such-page', '/%00', '/../../etc/passwd'])
      await httpGet(`${base}${path}`).catch(() => undefined);
    expect((await httpGet(`${base}/productpage`)).status).toBe(200);
    expect((await mesh.run('apply', '-f', join(REPOSITORY, 'package.json'))).exitCode).not.toBe(0);

    const secrets = secretsOf(mesh);
    const places = [...new Set(secrets.map(({ name }) => name))];
    const keyFiles = places.filter((name) => /key\.pem$/.test(name));
    // One for each pod of Bookinfo, the gateway, the services of the control plane and the roles of the command line.
    for (const service of SERVICES)
      expect(
        keyFiles.filter((name) => name.includes(service)),
        service,
      ).not.toEqual([]);
    expect(keyFiles.length).toBeGreaterThan(pods.length);
    expect(places.filter((name) => /token$/.test(name)).length).toBeGreaterThan(pods.length);

    const forms = secrets.flatMap((each) => each.forms);
    for (const { name, mode, content } of filesBelow(demo.stateDir)) {
      if (!places.includes(name) && !forms.some((form) => content.includes(form))) continue;
      expect([name, mode.toString(8)]).toEqual([name, '600']);
      expect(name).not.toMatch(/\.log$|objects\.json$|galley\/config|registry\.json$/);
    }

    const written = await filesWrittenBy(mesh);
    expect(written.length).toBeGreaterThan(SERVICES.length);
    expect(written.filter((path) => !path.startsWith(`${realpathSync(demo.stateDir)}/`))).toEqual([]);
    expect(readdirSync(dirname(demo.stateDir))).toEqual(['state']);

    const outputs = await outputsOf(mesh);
    outputs.set('npm run demo', demo.printed);
    expect(demo.printed).toContain('Bookinfo is at http');
    expect([...outputs.keys()].filter((name) => name.includes('/config_dump')).length).toBeGreaterThanOrEqual(
      pods.length,
    );
    expect(shownIn(outputs, secrets)).toEqual([]);
    // The search finds what is there.
    const [first] = secrets;
    expect(shownIn(new Map([['itself', `-${first!.forms[0]}-`]]), secrets)).toContain(
      `itself shows what is secret in ${first!.name}`,
    );
  },
  TIME_LIMIT_MS,
);
