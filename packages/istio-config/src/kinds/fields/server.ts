// Fields: ports that a gateway or a sidecar listens on, and their TLS.
import type { z } from 'zod';
import { list, message, nested, required } from '../../declare/message.js';
import { choice, flag, integer, portNumber, text } from '../../declare/scalars.js';

const PORT_PROTOCOL = 'HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, MONGO, TCP or TLS.';

/** A port of a Gateway. */
export const gatewayPort = message('Port', {
  number: required(portNumber('The port.')),
  protocol: required(text(PORT_PROTOCOL)),
  name: required(text('A name for the port.', { minLength: 1 })),
  targetPort: portNumber('Where the proxy listens in its place (deprecated).'),
});

/** A port of a Sidecar listener. */
export const sidecarPort = message('SidecarPort', {
  number: integer('The port; 0 with a socket.', { max: 65_535 }),
  protocol: text(PORT_PROTOCOL),
  name: text('A name for the port.'),
  targetPort: portNumber('Not used.'),
});

/** A port of a ServiceEntry. */
export const servicePort = message('ServicePort', {
  number: required(portNumber('The port that clients use.')),
  protocol: text(PORT_PROTOCOL),
  name: required(text('A name for the port.', { minLength: 1 })),
  targetPort: portNumber('The port of the endpoints (default: number).'),
});

const certificateFiles = {
  serverCertificate: text('File of the certificate.'),
  privateKey: text('File of the key.'),
  caCertificates: text('File of the authorities that clients are checked with.'),
};

const TLS_VERSIONS = ['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3'] as const;

/** TLS that is terminated, or passed through. */
export const serverTlsSettings = message('ServerTLSSettings', {
  httpsRedirect: flag('Answer plain HTTP with a redirect to HTTPS (default false).'),
  mode: choice('How TLS is treated.', [
    'PASSTHROUGH',
    'SIMPLE',
    'MUTUAL',
    'AUTO_PASSTHROUGH',
    'ISTIO_MUTUAL',
    'OPTIONAL_MUTUAL',
  ]),
  ...certificateFiles,
  caCrl: text('File with revoked certificates.'),
  credentialName: text('Secret with key and certificate, in place of files.'),
  credentialNames: list(text('', { minLength: 1 }), 'Several secrets, at most two.', { min: 1, max: 2 }),
  tlsCertificates: list(message('TLSCertificate', certificateFiles), 'Several pairs of files, at most two.', {
    min: 1,
    max: 2,
  }),
  caCertCredentialName: text('Secret with the authorities that clients are checked with.'),
  subjectAltNames: list(text(''), 'Names of which a client must have one.'),
  verifyCertificateSpki: list(text(''), 'SHA-256 of the public keys that are taken, in base64.'),
  verifyCertificateHash: list(text(''), 'SHA-256 of the certificates that are taken, in hex.'),
  minProtocolVersion: choice('Least version of TLS (default TLSV1_2).', TLS_VERSIONS),
  maxProtocolVersion: choice('Highest version of TLS.', TLS_VERSIONS),
  cipherSuites: list(text(''), 'Cipher suites that are offered.'),
});

/** A port of a gateway with its hosts. */
export const server = message('Server', {
  port: required(nested(gatewayPort, 'The port.')),
  bind: text('Address that is listened on (default: all).'),
  hosts: required(list(text(''), 'Hosts that are exposed, with or without NAMESPACE/.')),
  tls: nested(serverTlsSettings, 'TLS of the port.'),
  defaultEndpoint: text('Not used.'),
  name: text('A name for the server, unique in the resource.'),
});

export type Server = z.infer<typeof server>;
export type GatewayPort = z.infer<typeof gatewayPort>;
export type ServerTlsSettings = z.infer<typeof serverTlsSettings>;
