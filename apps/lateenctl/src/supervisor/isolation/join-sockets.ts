// Isolation: two connections as one. Each side may end its half while the other still speaks.

import { connect, type Socket } from 'node:net';
import type { Target } from './relay-messages.js';

/** Leads a connection on to the target; it is reset where nobody takes it there. */
export function leadOn(socket: Socket, { host, port }: Target, onEnd: () => void = () => {}): void {
  const onward = connect({ host, port, allowHalfOpen: true });
  socket.allowHalfOpen = true;
  const reset = () => {
    socket.resetAndDestroy();
    onward.destroy();
  };
  socket.on('error', reset);
  onward.on('error', reset);
  let open = 2;
  const closed = () => {
    open--;
    if (open === 0) onEnd();
  };
  socket.on('close', () => {
    if (!onward.writableEnded) onward.destroy();
    closed();
  });
  onward.on('close', () => {
    if (!socket.writableEnded) socket.destroy();
    closed();
  });
  onward.once('connect', () => {
    onward.setNoDelay(true);
    socket.setNoDelay(true);
    socket.pipe(onward);
    onward.pipe(socket);
    socket.resume();
  });
}
