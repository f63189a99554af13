// The door: a Unix socket that only this user can open, in a directory that only this user can enter. There is no other.

import { once } from 'node:events';
import { chmod, lstat, mkdir, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { AdsService } from '@lateen/xds-stream';

/** What the kernels of Linux (107) and macOS (103) take. */
const MAX_PATH_BYTES = 103;
/** A subscription is a few hundred bytes, and the node of an Envoy lists its extensions. */
const MAX_REQUEST_BYTES = 1024 * 1024;
const STOP_TIMEOUT_MS = 1_000;

export interface SdsSocket {
  /** Ends all streams; proxies keep what they have. */
  close(): Promise<void>;
}

/** Serves at a path, for which the directory is made where it is missing. @throws Error saying what is in the way */
export async function openSdsSocket(path: string, service: AdsService): Promise<SdsSocket> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES)
    throw new Error(`the socket's path ${path} has ${bytes} bytes, where ${MAX_PATH_BYTES} fit; choose a shorter one`);
  await preparePrivateDirectory(dirname(path));
  await removeStaleSocket(path);
  const server = new Server({ 'grpc.max_receive_message_length': MAX_REQUEST_BYTES });
  server.addService(service.definition, service.implementation);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(new Error(`cannot listen on ${path}: ${error.message}`));
    });
  });
  await chmod(path, 0o600);
  return {
    close: async () => {
      service.close();
      await new Promise<void>((resolve) => {
        const cut = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, STOP_TIMEOUT_MS);
        server.tryShutdown(() => {
          clearTimeout(cut);
          resolve();
        });
      });
      await rm(path, { force: true });
    },
  };
}

/** Keys go through here, so a directory of others, or one that they can enter, will not do. */
async function preparePrivateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(directory);
  if (uid !== process.getuid?.())
    throw new Error(`${directory} belongs to another user; the socket needs one of its own`);
  if ((mode & 0o077) !== 0) {
    const octal = (mode & 0o777).toString(8);
    throw new Error(
      `${directory} is open to others (mode ${octal}); close it (chmod 700) or name another for the socket`,
    );
  }
}

/** What an agent that was killed left behind is removed; where somebody still listens it is left alone. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} is there already and no socket; remove it or choose another path`);
  if (await isServed(path)) throw new Error(`another process serves at ${path} already; is a second agent running?`);
  await rm(path, { force: true });
}

/** Only a refusal says that nobody listens there: one who is busy, or whose queue is full, is there all the same. */
async function isServed(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    return !['ECONNREFUSED', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '');
  } finally {
    socket.destroy();
  }
}
