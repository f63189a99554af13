// Benchmark: opens connections that have had one answer and then say nothing, to weigh what an idle one costs a proxy.

import { connect, type Socket } from 'node:net';

const AT_ONCE = 200;

function openOne(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: idle.bench\r\n\r\n'));
    let answer = '';
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      answer += text;
      const head = answer.indexOf('\r\n\r\n');
      const length = /content-length: (\d+)/i.exec(answer);
      if (head < 0 || length === null || answer.length < head + 4 + Number(length[1])) return;
      if (!answer.startsWith('HTTP/1.1 200')) reject(new Error(`answered ${answer.slice(0, 40)}`));
      socket.removeAllListeners('data');
      resolve(socket);
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed before the answer')));
  });
}

/** Opens `count` connections to the port; each has been answered once when this resolves. Returns what closes them. */
export async function holdIdleConnections(port: number, count: number): Promise<() => void> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const wanted = Math.min(AT_ONCE, count - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: wanted }, () => openOne(port)))));
  }
  return () => {
    for (const socket of sockets) socket.destroy();
  };
}
