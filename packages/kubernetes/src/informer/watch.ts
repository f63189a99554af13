// Watch: the events of a collection since a version, as the API server streams them: one JSON object a line.
import type { KubeClient } from '../client.js';
import type { KubeObject, Status } from '../objects.js';
import { type ResourceType, resourcePath } from '../resource-type.js';

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; readonly object: T }
  | { readonly type: 'ERROR'; readonly object: Status };

export interface WatchOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Events after it. */
  readonly resourceVersion: string;
  /** The server ends the watch after so long. */
  readonly timeoutSeconds: number;
  /** Rejects when nothing came for so long, not even a bookmark. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal;
}

const NEWLINE = 0x0a;

/**
 * Gives the events of each piece that arrives together. Ends when the server ends the watch.
 * @throws ApiError when the server refuses; Error when the connection breaks, stalls, or carries what is no event
 */
export async function* watch<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  options: WatchOptions,
): AsyncGenerator<readonly WatchEvent<T>[]> {
  const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, idleTimeoutMs, signal } = options;
  const what = `watch ${type.kind}`;
  const response = await client.open(what, {
    method: 'GET',
    path: resourcePath(type, { namespace }),
    query: { watch: true, allowWatchBookmarks: true, labelSelector, fieldSelector, resourceVersion, timeoutSeconds },
    idleTimeoutMs,
    signal,
  });
  // A line is kept in pieces until it is whole: objects may be large, and joining at each piece would copy them again.
  let pieces: Buffer[] = [];
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const events: WatchEvent<T>[] = [];
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        pieces.push(chunk.subarray(start, end));
        const line = Buffer.concat(pieces).toString('utf8');
        pieces = [];
        start = end + 1;
        if (line.trim() !== '') events.push(parseEvent(what, line));
      }
      if (start < chunk.length) pieces.push(chunk.subarray(start));
      if (events.length > 0) yield events;
    }
  } catch (error) {
    if (signal.aborted || error instanceof WatchFormatError) throw error;
    throw new Error(`${what}: the connection broke: ${(error as Error).message}`, { cause: error });
  } finally {
    response.destroy();
  }
  if (pieces.length > 0) throw new WatchFormatError(`${what}: the last event is only half there`);
}

class WatchFormatError extends Error {}

const TYPES: readonly unknown[] = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'];

function parseEvent<T>(what: string, line: string): WatchEvent<T> {
  let event: WatchEvent<T>;
  try {
    event = JSON.parse(line) as WatchEvent<T>;
  } catch (error) {
    throw new WatchFormatError(`${what}: an event is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (!TYPES.includes(event?.type) || typeof event.object !== 'object' || event.object === null) {
    throw new WatchFormatError(`${what}: not an event: ${line.slice(0, 100)}`);
  }
  return event;
}
