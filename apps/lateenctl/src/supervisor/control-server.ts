// Supervisor: the control socket, through which the command line gives orders. Only this user may open it (0600).

import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { Problem } from '@lateen/istio-config';
import {
  type ApplyRequest,
  CONTROL_PATH,
  type DeleteRequest,
  type EnvironmentRequest,
  type JoinRequest,
  type SettleRequest,
  type StopRequest,
} from '../control/control-api.js';
import { readKubernetesDocuments } from '../documents/split-documents.js';
import type { Supervisor } from './supervisor.js';
import { UnknownTargetError } from './targets.js';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const SIGNALS: readonly string[] = ['TERM', 'KILL', 'INT', 'HUP', 'QUIT', 'STOP', 'CONT', 'USR1', 'USR2'];

/** An order that cannot be followed as it was given. */
class BadOrderError extends Error {}

export class ControlServer {
  readonly #server: Server;
  readonly #path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** Listens at a socket path. A socket that a dead supervisor left is removed; the block lease tells that it is dead. */
  static listen(path: string, supervisor: Supervisor): Promise<ControlServer> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    rmSync(path, { force: true });
    const server = createServer((request, response) => {
      follow(supervisor, request).then(
        (answer) => send(response, 200, answer),
        (error: Error) => {
          const known = error instanceof BadOrderError || error instanceof UnknownTargetError;
          send(response, known ? 400 : 500, { error: error.message });
        },
      );
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => {
        chmodSync(path, 0o600);
        resolve(new ControlServer(server, path));
      });
    });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((done) => this.#server.close(() => done()));
    this.#server.closeIdleConnections();
    await closed;
    rmSync(this.#path, { force: true });
  }
}

async function follow(supervisor: Supervisor, request: IncomingMessage): Promise<unknown> {
  switch (`${request.method} ${request.url}`) {
    case `GET ${CONTROL_PATH.status}`:
      return supervisor.status();
    case `GET ${CONTROL_PATH.objects}`:
      return { objects: supervisor.objects() };
    case `POST ${CONTROL_PATH.apply}`: {
      const order = await readBody<ApplyRequest>(request);
      const problems: Problem[] = [];
      const documents = readKubernetesDocuments(order.files, order.defaultNamespace, problems);
      return supervisor.apply(documents, problems, order.dryRun);
    }
    case `POST ${CONTROL_PATH.delete}`:
      return supervisor.delete((await readBody<DeleteRequest>(request)).objects);
    case `POST ${CONTROL_PATH.stop}`: {
      const order = await readBody<StopRequest>(request);
      return { stopped: await supervisor.stop(order.target, signalOf(order.signal)) };
    }
    case `POST ${CONTROL_PATH.start}`:
      return { started: supervisor.start((await readBody<StopRequest>(request)).target) };
    case `POST ${CONTROL_PATH.environment}`:
      return supervisor.environment(await readBody<EnvironmentRequest>(request));
    case `POST ${CONTROL_PATH.join}`:
      return supervisor.join(await readBody<JoinRequest>(request));
    case `POST ${CONTROL_PATH.settle}`: {
      const order = await readBody<SettleRequest>(request);
      return supervisor.settle(order.objects, order.timeoutMs);
    }
    case `POST ${CONTROL_PATH.shutdown}`:
      // The socket closes last, so that whoever asked hears when everything has ended.
      void supervisor.close();
      return {};
    default:
      throw new BadOrderError(`unknown order ${request.method} ${request.url}`);
  }
}

function signalOf(text: string | undefined): NodeJS.Signals | undefined {
  if (text === undefined) return undefined;
  const name = text.toUpperCase().replace(/^SIG/, '');
  if (!SIGNALS.includes(name)) throw new BadOrderError(`unknown signal "${text}"; one of ${SIGNALS.join(', ')}`);
  return `SIG${name}` as NodeJS.Signals;
}

async function readBody<T>(request: IncomingMessage): Promise<T> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new BadOrderError(`the order is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as T;
  } catch (error) {
    throw new BadOrderError(`the order is not JSON: ${(error as Error).message}`);
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(body);
}
