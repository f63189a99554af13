// Sample: a WebSocket service that sends short text messages back. A real one would use a library; this one needs none.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const { HOST, PORT, VERSION } = process.env;
/** Of RFC 6455, section 1.3. */
const KEY_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TEXT = 0x81;
const CLOSE = 0x88;
const LONGEST_SHORT = 125;

const server = createServer((_request, response) => response.writeHead(426).end('this is a WebSocket\n'));
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${KEY_SUFFIX}`).digest('base64');
  socket.on('error', () => {}); // a client that leaves in the middle is none of ours
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let rest = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (let length = frameLength(rest); length > 0 && rest.length >= length; length = frameLength(rest)) {
      answer(socket, rest.subarray(0, length));
      rest = rest.subarray(length);
    }
  });
});

/** Of a client's frame (two bytes, four of its mask, the text); 0 where that is not known yet. */
function frameLength(bytes) {
  return bytes.length < 2 ? 0 : 6 + (bytes[1] & 0x7f);
}

function answer(socket, frame) {
  const [opcode, length] = [frame[0], frame[1] & 0x7f];
  if (opcode !== TEXT || length > LONGEST_SHORT) return socket.end(Buffer.from([CLOSE, 0]));
  const text = Buffer.from(frame.subarray(6)).map((byte, index) => byte ^ frame[2 + (index & 3)]);
  const reply = Buffer.from(`${VERSION} heard ${text.toString('utf8')}`).subarray(0, LONGEST_SHORT);
  socket.write(Buffer.concat([Buffer.from([TEXT, reply.length]), reply]));
}

server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => process.exit(0));
