// Demo check: the running demo, seen as a user sees it: through lateenctl, its page, and the files it keeps.

import { join } from 'node:path';
import { type CommandResult, runCommand } from '../../harness/run-command.js';
import { CheckFailure, require } from './check.js';
import { type CallAnswer, call } from './http-call.js';

/** The parts of `lateenctl local status -o json` that the checks use. */
export interface PodSeen {
  readonly name: string;
  readonly namespace: string;
  readonly deployment: string;
  readonly address: string;
  readonly ready: boolean;
  readonly serviceAddresses: Readonly<Record<string, string>>;
}

export interface StatusSeen {
  readonly ready: boolean;
  readonly waitingFor: readonly string[];
  readonly ingress: { readonly address: string; readonly port: number };
  readonly pods: readonly PodSeen[];
}

/** What a reader of the page sees of its reviews. */
export interface ReviewsSeen {
  /** Pod that served them. */
  readonly pod: string;
  readonly version: 'v1' | 'v2' | 'v3';
}

export class MeshUnderTest {
  readonly repository: string;
  readonly stateDir: string;
  readonly pageUrl: string;

  constructor(repository: string, stateDir: string, ingressUrl: string) {
    this.repository = repository;
    this.stateDir = stateDir;
    this.pageUrl = `${ingressUrl}/productpage`;
  }

  /** A file of the repository. */
  file(path: string): string {
    return join(this.repository, path);
  }

  /** Runs lateenctl and returns how it went. @param directory of the repository, in which it runs */
  run(args: readonly string[], input?: string, directory = '.'): Promise<CommandResult> {
    const env = { LATEEN_STATE_DIR: this.stateDir, NO_COLOR: '1' };
    const options = { directory: this.file(directory), env, input };
    return runCommand(process.execPath, [this.file('bin/lateenctl'), ...args], options);
  }

  /** Runs lateenctl, which has to succeed, and returns what it printed. */
  async lateenctl(args: readonly string[], input?: string, directory?: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(args, input, directory);
    if (exitCode !== 0) throw new CheckFailure(`lateenctl ${args.join(' ')} exits ${exitCode}: ${stderr.trim()}`);
    return stdout;
  }

  /** Applies files of the repository. */
  async apply(...paths: readonly string[]): Promise<void> {
    await this.lateenctl(['apply', ...paths.flatMap((path) => ['-f', this.file(path)])]);
  }

  async status(): Promise<StatusSeen> {
    return JSON.parse(await this.lateenctl(['local', 'status', '-o', 'json'])) as StatusSeen;
  }

  /** The pods of a deployment. */
  async pods(deployment: string): Promise<readonly PodSeen[]> {
    const { pods } = await this.status();
    const found = pods.filter((pod) => pod.deployment === deployment && pod.namespace === 'default');
    require(found.length > 0, `there is no pod of ${deployment}`);
    return found;
  }

  /** Address at which calls of productpage's pod to a service enter its sidecar. */
  async serviceUrl(service: string): Promise<string> {
    const [pod] = await this.pods('productpage-v1');
    const address = pod?.serviceAddresses[`${service}.default.svc.cluster.local`];
    require(address !== undefined, `productpage has no address for ${service}`);
    return `http://${address}:9080`;
  }

  /** Loads the page, with a session cookie where one is given. */
  async page(cookie?: string): Promise<CallAnswer> {
    const answer = await call(this.pageUrl, { headers: cookie === undefined ? {} : { cookie } });
    require(answer.status === 200, `${this.pageUrl} answers ${answer.status}: ${answer.body.slice(0, 200)}`);
    return answer;
  }

  /** Loads the page and reads who served its reviews. */
  async reviews(cookie?: string): Promise<ReviewsSeen> {
    const { body } = await this.page(cookie);
    const pod = /Reviews served by: <code>([^<]+)<\/code>/.exec(body)?.[1];
    require(pod !==
      undefined, `the page shows no reviews: ${/class="error">([^<]*)/.exec(body)?.[1] ?? 'no error either'}`);
    const color = /class="stars stars-(black|red)"/.exec(body)?.[1];
    const version = color === undefined ? 'v1' : color === 'black' ? 'v2' : 'v3';
    require(pod.startsWith(`reviews-${version}-`), `${pod} served the reviews, but the stars are those of ${version}`);
    return { pod, version };
  }

  /** Signs in and returns the cookie. */
  async signIn(user: string): Promise<string> {
    const url = this.pageUrl.replace('/productpage', '/login');
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await call(url, {
      method: 'POST',
      headers,
      body: new URLSearchParams({ username: user }).toString(),
    });
    const cookie = answer.headers['set-cookie']?.[0]?.split(';')[0];
    require(answer.status === 302 &&
      cookie !== undefined, `signing in answers ${answer.status}, no cookie: ${answer.body}`);
    return cookie;
  }
}
