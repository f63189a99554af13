// HTTP/2 codec: writes what a turn of the event loop has gathered once, when its callbacks have run.

/** What has something gathered. */
export interface Flushable {
  flush(): void;
}

let waiting: Flushable[] = [];

/** `flush` is called once this callback of the event loop is over; ask once for each flush. */
export function flushSoon(flushable: Flushable): void {
  waiting.push(flushable);
  if (waiting.length === 1) process.nextTick(flushAll);
}

function flushAll(): void {
  const due = waiting;
  waiting = [];
  for (const each of due) each.flush();
}
