// Sample: a client of greeter. `node greet.mjs [--often] [--count N] [NAME]`; where greeter is, Kubernetes's service variables say.
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const { values, positionals } = parseArgs({
  options: { often: { type: 'boolean' }, count: { type: 'string', default: '1' } },
  allowPositionals: true,
});
const { GREETER_SERVICE_HOST = 'greeter', GREETER_SERVICE_PORT = '50051' } = process.env;
const { demo } = grpc.loadPackageDefinition(loadSync(new URL('greeter.proto', import.meta.url).pathname));
const greeter = new demo.Greeter(`${GREETER_SERVICE_HOST}:${GREETER_SERVICE_PORT}`, grpc.credentials.createInsecure());
const request = { name: positionals[0] ?? 'world' };
const failure = ({ code, details }) => `${grpc.status[code]}: ${details}`;

const sayHello = () =>
  new Promise((resolve) => {
    greeter.SayHello(request, (error, reply) => resolve(error === null ? reply.message : failure(error)));
  });

if (values.often) {
  const call = greeter.SayHelloOften(request);
  call.on('data', ({ message }) => console.log(message));
  call.on('error', (error) => console.log(failure(error)));
} else {
  for (let left = Number(values.count); left > 0; left--) console.log(await sayHello());
}
