// Meaning of Telemetry.
import type { FaultList } from '../declare/fault.js';
import type { TelemetrySpec } from '../kinds/telemetry.js';
import type { FieldPath } from '../problem.js';
import { checkAttachment } from './policies/attachment.js';
import { checkUnique, type MeaningRule, present, presentEntries } from './rule.js';

export const checkTelemetry: MeaningRule<TelemetrySpec> = (spec, faults) => {
  checkAttachment(spec, faults);
  if (!('metrics' in spec) && !('tracing' in spec) && !('accessLogging' in spec)) {
    const message = 'the Telemetry has no settings; add `metrics`, `accessLogging` or `tracing`';
    faults.warning([], 'required', message);
  }
  for (const [index, metrics] of present(spec.metrics)) {
    checkProviders(metrics.providers, ['metrics', index, 'providers'], faults);
    for (const [at, override] of present(metrics.overrides)) {
      for (const [tag, change] of presentEntries(override.tagOverrides)) {
        checkTag(tag, change, ['metrics', index, 'overrides', at, 'tagOverrides', tag], faults);
      }
    }
  }
  for (const [index, logging] of present(spec.accessLogging)) {
    checkProviders(logging.providers, ['accessLogging', index, 'providers'], faults);
  }
  if ((spec.tracing?.length ?? 0) > 1) {
    faults.warning(['tracing', 1], 'duplicate', 'only the first item of `tracing` is used; join them');
  }
  for (const [index, tracing] of present(spec.tracing)) {
    const path = ['tracing', index, 'providers'];
    checkProviders(tracing.providers, path, faults);
    if ((tracing.providers?.length ?? 0) > 1) {
      faults.warning([...path, 1], 'duplicate', 'only the first tracing provider is used; keep one');
    }
    if (tracing.customTags && '' in tracing.customTags) {
      faults.error(['tracing', index, 'customTags', ''], 'name', 'the name of the tag is empty; write one', 'key');
    }
  }
};

function checkProviders(
  providers: readonly ({ readonly name?: string | undefined } | undefined)[] | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  checkUnique(
    providers,
    ({ name }) => name,
    faults,
    (index, name) => ({
      path: [...path, index, 'name'],
      message: `provider \`${name}\` is there twice; keep one`,
    }),
  );
}

function checkTag(
  tag: string,
  change: { readonly operation?: string | undefined; readonly value?: string | undefined },
  path: FieldPath,
  faults: FaultList,
): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(tag)) {
    faults.error(path, 'name', `\`${tag}\` is not the name of a label; write letters, digits and \`_\``, 'key');
  }
  const { operation, value } = change;
  if (operation === undefined && 'operation' in change) return;
  if (operation === 'REMOVE') {
    if (!value) return;
    faults.error([...path, 'value'], 'one-of', '`value` has no place with operation REMOVE; remove one', 'key');
  } else if (value === undefined ? !('value' in change) : value.trim() === '') {
    const message = 'a tag override needs a CEL expression; write `value`, or operation REMOVE';
    faults.error(value === undefined ? path : [...path, 'value'], 'required', message);
  }
}
