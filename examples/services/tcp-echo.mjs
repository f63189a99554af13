// Sample: a TCP service. Sends each line back, with its version in front.
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const { HOST, PORT, VERSION } = process.env;

const server = createServer((socket) => {
  socket.on('error', () => {}); // a client that leaves in the middle is none of ours
  createInterface({ input: socket }).on('line', (line) => socket.write(`${VERSION} ${line}\n`));
});
server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => process.exit(0));
