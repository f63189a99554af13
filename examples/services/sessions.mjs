// Sample: an authorizer over HTTP. Who has the cookie `session=NAME` is NAME and may go on; any other is told to log in.
import { createServer } from 'node:http';

const { HOST, PORT } = process.env;

const server = createServer((request, response) => {
  const [, name] = /(?:^|; *)session=(\w+)/.exec(request.headers.cookie ?? '') ?? [];
  if (name === undefined) response.writeHead(401, { 'content-type': 'text/plain' }).end('please log in\n');
  else response.writeHead(200, { 'x-user': name }).end();
});
server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
