// Sample: stands for a service on the internet: `node outside.mjs PORT`. Says which host it was asked for.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const { host, ...headers } = request.headers;
  response.setHeader('content-type', 'application/json');
  response.end(`${JSON.stringify({ host, path: request.url, partner: headers['x-partner'] })}\n`);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
