// TCP: what the request for a tunnel says besides, as `headers_to_add` has it.

import { isOwnHeader } from '@lateen/filters-wasm';
import {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  type HeaderValueOption,
} from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';

const OPERATOR = /%(?!%)/;

/** Lines in the order in which they are sent; names in lower case. */
export function compileTunnelHeaders(options: readonly HeaderValueOption[]): (readonly [string, string])[] {
  let lines: (readonly [string, string])[] = [];
  for (const option of options) {
    const name = (option.header?.key ?? '').toLowerCase();
    const value = (option.header?.value ?? '').replaceAll('%%', '%');
    if (value === '' && !option.keepEmptyValue) continue;
    const present = lines.some(([each]) => each === name);
    const action = option.append === false ? AppendAction.OVERWRITE_IF_EXISTS_OR_ADD : option.appendAction;
    if (action === AppendAction.ADD_IF_ABSENT && present) continue;
    if (action === AppendAction.OVERWRITE_IF_EXISTS && !present) continue;
    const replaces = action === AppendAction.OVERWRITE_IF_EXISTS || action === AppendAction.OVERWRITE_IF_EXISTS_OR_ADD;
    if (replaces) lines = lines.filter(([each]) => each !== name);
    lines.push([name, value]);
  }
  return lines;
}

/** What is wrong with one of `headers_to_add`, empty where nothing is. */
export function tunnelHeaderProblem({ header }: HeaderValueOption): string {
  const name = (header?.key ?? '').toLowerCase();
  if (!/^[!#$&'*+.^_`|~0-9a-z-]+$/.test(name)) return `"${name}" is not a header name`;
  if (isOwnHeader(name)) return `"${name}" cannot be changed by configuration`;
  const value = header?.value ?? '';
  if (![...value].every(isHeaderByte)) return 'has bytes that no header may have';
  return OPERATOR.test(value.replaceAll('%%', ''))
    ? 'operators (`%…%`) are not supported here; write %% for a percent sign'
    : '';
}

function isHeaderByte(character: string): boolean {
  const code = character.codePointAt(0)!;
  return code === 9 || (code >= 32 && code !== 127 && code < 256);
}
