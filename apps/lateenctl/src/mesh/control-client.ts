// Mesh: gives orders to the supervisor over its control socket.

import { request } from 'node:http';
import {
  type ApplyRequest,
  type ChangeResponse,
  CONTROL_PATH,
  type DeleteRequest,
  type EnvironmentRequest,
  type EnvironmentResponse,
  type JoinRequest,
  type JoinResponse,
  type MeshStatus,
  type ObjectsResponse,
  type SettleRequest,
  type SettleResponse,
  type StartResponse,
  type StopRequest,
  type StopResponse,
} from '../control/control-api.js';
import { CliError, UnreachableError } from '../output/cli-error.js';

export class ControlClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  status(): Promise<MeshStatus> {
    return this.#call('GET', CONTROL_PATH.status);
  }

  objects(): Promise<ObjectsResponse> {
    return this.#call('GET', CONTROL_PATH.objects);
  }

  apply(order: ApplyRequest): Promise<ChangeResponse> {
    return this.#call('POST', CONTROL_PATH.apply, order);
  }

  delete(order: DeleteRequest): Promise<ChangeResponse> {
    return this.#call('POST', CONTROL_PATH.delete, order);
  }

  stop(order: StopRequest): Promise<StopResponse> {
    return this.#call('POST', CONTROL_PATH.stop, order);
  }

  start(target: string): Promise<StartResponse> {
    return this.#call('POST', CONTROL_PATH.start, { target });
  }

  environment(request: EnvironmentRequest): Promise<EnvironmentResponse> {
    return this.#call('POST', CONTROL_PATH.environment, request);
  }

  join(order: JoinRequest): Promise<JoinResponse> {
    return this.#call('POST', CONTROL_PATH.join, order);
  }

  settle(order: SettleRequest): Promise<SettleResponse> {
    return this.#call('POST', CONTROL_PATH.settle, order);
  }

  shutdown(): Promise<unknown> {
    return this.#call('POST', CONTROL_PATH.shutdown, {});
  }

  #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#socket, method, path, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const answer = JSON.parse(Buffer.concat(chunks).toString('utf8')) as T & { error?: string };
          if (response.statusCode === 200) resolve(answer);
          else reject(new CliError(answer.error ?? `the supervisor answered ${response.statusCode}`));
        });
      });
      call.on('error', (error: NodeJS.ErrnoException) => {
        reject(
          new UnreachableError(
            `the supervisor does not answer at ${this.#socket} (${error.code ?? error.message}); ` +
              'start the mesh with `lateenctl local up -f FILE`, or name its directory with --state-dir',
          ),
        );
      });
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
