// Build: protobuf durations.

import { create } from '@bufbuild/protobuf';
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';
import { parseDurationMs } from '@lateen/istio-config';

/** A duration of whole or fractional milliseconds. */
export function durationOfMs(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) });
}

/** A duration as configuration writes it (`5s`); undefined where it is absent. Validation has refused bad ones. */
export function durationOfText(text: string | undefined): Duration | undefined {
  if (text === undefined) return undefined;
  const ms = parseDurationMs(text);
  return ms === undefined ? undefined : durationOfMs(ms);
}
