// Authority: the X.509 library, set up once. It needs reflect-metadata loaded before it.

import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** Node's Web Crypto; the same object that browsers call `crypto`. */
export const engine = webcrypto;
x509.cryptoProvider.set(engine);

export { x509 };

export const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
export const ECDSA_SHA256 = { name: 'ECDSA', hash: 'SHA-256' } as const;
