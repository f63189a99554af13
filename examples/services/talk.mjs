// Sample: a client of echo-socket: `node --experimental-websocket talk.mjs TEXT` (Node 22 and newer need no flag).
const socket = new WebSocket(`ws://${process.env.ECHO_SOCKET_SERVICE_HOST}/`);
socket.onopen = () => socket.send(process.argv[2] ?? 'hello');
socket.onmessage = ({ data }) => {
  console.log(data);
  socket.close();
};
