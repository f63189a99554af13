// Declarations: the scalar fields, all optional until wrapped in `required`, each with a one-line description.
import { z } from 'zod';
import { MAX_DURATION_MS, parseDurationMs } from '../duration.js';

/** What is wrong with a value, or undefined. `code` is the problem's code; `text` says what is wrong and what to do. */
export type FormatFault = { readonly code: string; readonly text: string } | undefined;

/** A check of one string. */
export type StringFormat = (value: string) => FormatFault;

export interface TextRules {
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly format?: StringFormat;
}

/** A string. */
export function text(description: string, rules: TextRules = {}): z.ZodOptional<z.ZodString> {
  let schema = z.string();
  if (rules.minLength !== undefined) schema = schema.min(rules.minLength);
  if (rules.maxLength !== undefined) schema = schema.max(rules.maxLength);
  if (rules.format) schema = withFormat(schema, rules.format);
  return schema.optional().describe(description);
}

const formats = new WeakMap<z.core.$ZodType, StringFormat>();

/** The format of a string (unwrapped), or undefined where anything goes. */
export function stringFormat(schema: z.core.$ZodType): StringFormat | undefined {
  return formats.get(schema);
}

function withFormat(plain: z.ZodString, format: StringFormat): z.ZodString {
  const schema = plain.check((context) => {
    const fault = format(context.value);
    if (!fault) return;
    context.issues.push({
      code: 'custom',
      input: context.value,
      message: fault.text,
      params: { code: fault.code },
      continue: true,
    });
  });
  formats.set(schema, format);
  return schema;
}

export interface NumberRules {
  readonly min?: number;
  readonly max?: number;
}

const INT32_MAX = 2 ** 31 - 1;

/** A whole number; by default of 32 bits and not negative. */
export function integer(description: string, { min = 0, max = INT32_MAX }: NumberRules = {}): z.ZodOptional<z.ZodInt> {
  return z.int().min(min).max(max).optional().describe(description);
}

/** A number that may have a fraction. */
export function decimal(description: string, rules: NumberRules = {}): z.ZodOptional<z.ZodNumber> {
  let schema = z.number();
  if (rules.min !== undefined) schema = schema.min(rules.min);
  if (rules.max !== undefined) schema = schema.max(rules.max);
  return schema.optional().describe(description);
}

/** A TCP port. */
export function portNumber(description: string): z.ZodOptional<z.ZodInt> {
  return integer(description, { min: 1, max: 65_535 });
}

/** true or false. */
export function flag(description: string): z.ZodOptional<z.ZodBoolean> {
  return z.boolean().optional().describe(description);
}

/** One of a few words. */
export function choice<const Words extends readonly [string, ...string[]]>(description: string, words: Words) {
  return z.enum(words).optional().describe(description);
}

export interface DurationRules {
  /** The shortest that is accepted, in milliseconds. Default 1 (Istio's own limit). */
  readonly minMs?: number;
}

/** A duration such as `5s`, `1.5s`, `250ms`, `1h30m`; the value stays the string that was written. */
export function duration(description: string, { minMs = 1 }: DurationRules = {}): z.ZodOptional<z.ZodString> {
  const schema = text(description, { format: (value) => durationFault(value, minMs) });
  durations.add(schema.unwrap());
  return schema;
}

const durations = new WeakSet<z.core.$ZodType>();

/** Whether a field (unwrapped) is a duration. */
export function isDuration(schema: z.core.$ZodType): boolean {
  return durations.has(schema);
}

function durationFault(value: string, minMs: number): FormatFault {
  const ms = parseDurationMs(value);
  if (ms === undefined) {
    return { code: 'duration', text: `\`${value}\` is not a duration; write a number with h, m, s or ms, such as 5s` };
  }
  if (ms < minMs || ms > MAX_DURATION_MS) {
    const least = minMs === 0 ? '0s' : `${minMs}ms`;
    return { code: 'range', text: `\`${value}\` is out of range; write a duration from ${least} to 87600h` };
  }
  if (!Number.isInteger(ms)) {
    return { code: 'range', text: `\`${value}\` is finer than a millisecond; write whole milliseconds` };
  }
  return undefined;
}
