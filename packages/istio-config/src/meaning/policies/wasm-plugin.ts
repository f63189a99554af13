// Meaning of WasmPlugin.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { WasmPluginSpec } from '../../kinds/policies/wasm-plugin.js';
import { checkUnique, type MeaningRule, present } from '../rule.js';
import { checkAttachment } from './attachment.js';

const SCHEMES = ['oci:', 'https:', 'http:', 'file:'];
const SHA256 = /^[a-f0-9]{64}$/;

export const checkWasmPlugin: MeaningRule<WasmPluginSpec> = (spec, faults) => {
  checkAttachment(spec, faults);
  checkAddress(spec.url, faults);
  const { sha256 } = spec;
  if (sha256 !== undefined && sha256 !== '' && !SHA256.test(sha256)) {
    const message = `\`${sha256}\` is not a SHA-256; write 64 digits of lower-case hex`;
    faults.error(['sha256'], 'checksum', message);
  }
  checkEnvironment(spec, faults);
};

/** A scheme that a module can be fetched by. `test` and `registry/image:tag` have none, which means oci. */
function checkAddress(url: string | undefined, faults: FaultList): void {
  if (url === undefined || url === '') return;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*:)\/\//.exec(url)?.[1];
  if (scheme !== undefined && !SCHEMES.includes(scheme.toLowerCase())) {
    const message = `a module cannot be fetched by \`${scheme}\`; write oci://, https://, http:// or file://`;
    faults.error(['url'], 'url', message);
  } else if (!URL.canParse(scheme === undefined ? `http://${url}` : url)) {
    faults.error(['url'], 'url', `\`${url}\` is not an address; write one such as oci://registry.example.com/plugin:1`);
  }
}

function checkEnvironment({ vmConfig }: Loose<WasmPluginSpec>, faults: FaultList): void {
  const path = ['vmConfig', 'env'];
  checkUnique(
    vmConfig?.env,
    ({ name }) => name,
    faults,
    (index, name) => ({ path: [...path, index, 'name'], message: `variable \`${name}\` is there twice; keep one` }),
  );
  for (const [index, { value, valueFrom }] of present(vmConfig?.env)) {
    if (valueFrom !== 'HOST' || value === undefined || value === '') continue;
    const message = '`value` has no place with valueFrom HOST; remove one of them';
    faults.error([...path, index, 'value'], 'one-of', message, 'key');
  }
}
