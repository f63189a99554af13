// Test support: one core for a test file, with the option records and reads that the tests share.
import { createCore } from '../core.js';
import * as L from '../layout.js';
import { internListenerOptions, type ListenerOptions } from '../listener-options.js';

/** Options as a plain sidecar listener has them. */
export const PLAIN_OPTIONS: ListenerOptions = {
  normalizePath: true,
  mergeSlashes: false,
  escapedSlashes: 'keep',
  edge: false,
  useRemoteAddress: false,
  skipXffAppend: false,
  xffNumTrustedHops: 0,
  generateRequestId: false,
  preserveExternalRequestId: false,
  serverHeader: 'pass-through',
  serverName: 'istio-envoy',
  allowWebsocket: false,
  acceptHttp10: true,
  routerHeaders: false,
  forwardClientCert: 'always-forward-only',
  peerFromRequest: false,
  peerFromResponse: false,
  requestLines: [],
  responseLines: [],
};

/** A core and short ways to use it. */
export function createTestCore() {
  const core = createCore({ seed: [7, 11] });
  const int = (address: number) => core.i32[address >> 2]!;
  return {
    core,
    wasm: core.wasm,
    int,
    options: (changes: Partial<ListenerOptions> = {}) =>
      internListenerOptions(core, { ...PLAIN_OPTIONS, ...changes }, 0),
    /** Puts text (Latin-1) somewhere; its length. */
    put: (text: string, at = L.READ_BUFFER) => core.bytes.write(text, at, 'latin1'),
    range: (offsetAddress: number, lengthAddress: number) => core.text(int(offsetAddress), int(lengthAddress)),
    /** Lines of a table that would be forwarded: name in lower case, value. */
    headers: (table: number, count: number) => {
      const found: { name: string; value: string }[] = [];
      for (let index = 0; index < count; index++) {
        const entry = table + index * L.HEADER_ENTRY_BYTES;
        if (int(entry + L.HEADER_FLAGS) !== 0) continue;
        found.push({
          name: core.text(int(entry + L.HEADER_LINE_OFFSET), int(entry + L.HEADER_NAME_LENGTH)).toLowerCase(),
          value: core.text(int(entry + L.HEADER_VALUE_OFFSET), int(entry + L.HEADER_VALUE_LENGTH)),
        });
      }
      return found;
    },
  };
}
