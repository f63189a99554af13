// Workload health: asks the application once, in the way that its probe says.

import { execFile } from 'node:child_process';
import { get as getHttp } from 'node:http';
import { get as getHttps, type RequestOptions } from 'node:https';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { grpcService } from '@lateen/xds-proto';
import {
  Health,
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '@lateen/xds-proto/grpc/health/v1/health_pb.js';
import type { ProbeAction } from './readiness-probe.js';

type Of<Kind extends ProbeAction['kind']> = Extract<ProbeAction, { kind: Kind }>;

/** More of what a command or a server says is cut off. */
const MAX_TEXT_CHARACTERS = 200;

/** Opens a connection to the application. */
export type DialApplication = (at: { readonly host: string; readonly port: number }) => Socket;

/**
 * Resolves to undefined where the application is well, else to what is wrong. Never rejects.
 *
 * @param dial how HTTP and TCP reach the application, where that is not the ordinary way
 */
export async function probeOnce(
  action: ProbeAction,
  timeoutMs: number,
  dial: DialApplication = connect,
): Promise<string | undefined> {
  try {
    switch (action.kind) {
      case 'httpGet':
        return await askHttp(action, timeoutMs, dial);
      case 'tcpSocket':
        return await connectTcp(action, timeoutMs, dial);
      case 'exec':
        return await runCommand(action, timeoutMs);
      case 'grpc':
        return await askGrpc(action, timeoutMs);
    }
  } catch (error) {
    return (error as Error).message;
  }
}

/** As the kubelet: 200 to 399 is well, redirects are not followed, certificates are not checked. */
function askHttp({ scheme, host, port, path, headers }: Of<'httpGet'>, timeoutMs: number, dial: DialApplication) {
  const get = scheme === 'https' ? getHttps : getHttp;
  return new Promise<string | undefined>((resolve) => {
    const fields: Record<string, string | string[]> = { 'user-agent': 'lateen-probe', connection: 'close' };
    for (const [name, value] of headers) {
      const before = fields[name.toLowerCase()];
      const isOwn = name.toLowerCase() === 'user-agent' || name.toLowerCase() === 'connection';
      fields[name.toLowerCase()] = before === undefined || isOwn ? value : [before, value].flat();
    }
    const options: RequestOptions = { host, port, path, headers: fields, agent: false, rejectUnauthorized: false };
    if (dial !== connect) {
      // An agent would connect in its own way.
      options.agent = undefined;
      const plain = () => dial({ host, port });
      options.createConnection =
        scheme === 'https' ? () => connectTls({ socket: plain(), rejectUnauthorized: false }) : plain;
    }
    const late = `GET ${path} was not answered within ${timeoutMs} ms`;
    const request = get(options, (response) => {
      response.destroy();
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 400 ? undefined : `GET ${path} was answered ${status}`);
      clearTimeout(timer);
    });
    // Of the whole exchange: a time-out of the socket would begin anew with each byte.
    const timer = setTimeout(() => request.destroy(new Error(late)), timeoutMs);
    request.on('error', (error) => {
      clearTimeout(timer);
      resolve(error.message);
    });
  });
}

function connectTcp({ host, port }: Of<'tcpSocket'>, timeoutMs: number, dial: DialApplication) {
  return new Promise<string | undefined>((resolve) => {
    const socket = dial({ host, port });
    const finish = (fault: string | undefined) => {
      socket.destroy();
      resolve(fault);
    };
    socket.setTimeout(timeoutMs, () => finish(`no connection to ${host}:${port} within ${timeoutMs} ms`));
    socket.once('connect', () => finish(undefined));
    socket.once('error', (error) => finish(error.message));
  });
}

function runCommand({ command }: Of<'exec'>, timeoutMs: number) {
  const [program = '', ...args] = command;
  return new Promise<string | undefined>((resolve) => {
    execFile(program, args, { timeout: timeoutMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error === null) resolve(undefined);
      else if (error.killed === true) resolve(`${program} did not end within ${timeoutMs} ms`);
      else {
        const said = (stderr || stdout || error.message).trim().slice(0, MAX_TEXT_CHARACTERS);
        resolve(`${program} ended with ${String(error.code ?? error.signal)}: ${said}`);
      }
    });
  });
}

async function askGrpc({ host, port, service }: Of<'grpc'>, timeoutMs: number) {
  const { path, requestSerialize, responseDeserialize } = grpcService(Health).check!;
  const client = new Client(`${host}:${port}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  try {
    const answer = await new Promise<HealthCheckResponse>((resolve, reject) => {
      const request = create(HealthCheckRequestSchema, { service });
      const deadline = Date.now() + timeoutMs;
      client.makeUnaryRequest(
        path,
        // The method table's functions take any message; grpc-js wants them typed by this call.
        requestSerialize as never,
        responseDeserialize as (bytes: Buffer) => HealthCheckResponse,
        request,
        { deadline },
        (error, response) => (error === null && response !== undefined ? resolve(response) : reject(error)),
      );
    });
    if (answer.status === ServingStatus.SERVING) return undefined;
    return `the gRPC service "${service}" is ${ServingStatus[answer.status]}`;
  } finally {
    client.close();
  }
}
