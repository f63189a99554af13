// Sample: an HTTPS service that ends TLS itself: `node store.mjs CERTIFICATE KEY`, files of its working directory.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const { HOST, PORT } = process.env;
const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));

const server = createServer({ cert, key }, (request, response) => {
  response.end(`store answers for ${request.socket.servername}\n`);
});
server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => process.exit(0));
