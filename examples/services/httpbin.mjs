// Sample: an HTTP service that does as its path says: /status/CODE, /delay/SECONDS, /flaky/N (only every Nth request succeeds),
// anything else tells what arrived. Named after the well-known one.
import { createServer } from 'node:http';

const { HOST, PORT, POD_NAME, VERSION } = process.env;
let requests = 0;

const server = createServer((request, response) => {
  const [, verb, text] = (request.url ?? '').split(/[/?]/);
  const number = Number(text);
  const { method, url, headers } = request;
  const answer = (status) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ pod: POD_NAME, version: VERSION, method, url, headers })}\n`);
  };
  if (verb === 'status') answer(number);
  else if (verb === 'delay') setTimeout(answer, number * 1000, 200);
  else if (verb === 'flaky') answer(++requests % number === 0 ? 200 : 500);
  else answer(200);
});
server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
