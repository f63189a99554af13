// Sample: a gRPC service, see greeter.proto.
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const REPLIES = 3;
const { HOST, PORT, VERSION } = process.env;
const { demo } = grpc.loadPackageDefinition(loadSync(new URL('greeter.proto', import.meta.url).pathname));
const greeting = ({ request }) => ({ message: `hello ${request.name} from ${VERSION}` });

const server = new grpc.Server();
server.addService(demo.Greeter.service, {
  SayHello: (call, done) => done(null, greeting(call)),
  SayHelloOften: (call) => {
    for (let reply = 0; reply < REPLIES; reply++) call.write(greeting(call));
    call.end();
  },
});
server.bindAsync(`${HOST}:${PORT}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
