// Fuzzing: single edits of bytes: what a broken or hostile sender does to something that was valid.

import type { Random } from '../loop/random.js';

const MAX_INPUT_BYTES = 128 * 1024;

/** Applies one to `most` edits; `tokens` are words that mean something to the reader under test. */
export function mutateBytes(random: Random, input: Buffer, other: Buffer, tokens: readonly Buffer[], most = 5): Buffer {
  let result = input;
  for (let edits = 1 + random.below(most); edits > 0; edits--) result = edit(random, result, other, tokens);
  return result.length > MAX_INPUT_BYTES ? result.subarray(0, MAX_INPUT_BYTES) : result;
}

function edit(random: Random, input: Buffer, other: Buffer, tokens: readonly Buffer[]): Buffer {
  const at = random.below(input.length + 1);
  const length = 1 + random.below(random.chance(0.2) ? 200 : 12);
  const before = input.subarray(0, at);
  switch (random.below(9)) {
    case 0: // another byte
      return Buffer.concat([before, Buffer.of(random.below(256)), input.subarray(at + 1)]);
    case 1: // one bit
      return Buffer.concat([before, Buffer.of((input[at] ?? 0) ^ (1 << random.below(8))), input.subarray(at + 1)]);
    case 2: // gone
      return Buffer.concat([before, input.subarray(at + length)]);
    case 3: // twice
      return Buffer.concat([before, input.subarray(at, at + length), input.subarray(at)]);
    case 4: // cut off
      return random.chance(0.3) ? Buffer.from(before) : Buffer.concat([before, input.subarray(at)]);
    case 5: {
      // a part of another input
      const from = random.below(other.length + 1);
      return Buffer.concat([before, other.subarray(from, from + length * 4), input.subarray(at)]);
    }
    case 6: {
      // many of the same
      const filler = Buffer.alloc(length * (random.chance(0.05) ? 400 : 1), random.below(256));
      return Buffer.concat([before, filler, input.subarray(at)]);
    }
    default: {
      if (tokens.length === 0) return input;
      const token = random.pick(tokens);
      return Buffer.concat([before, token, input.subarray(random.chance(0.5) ? at : at + token.length)]);
    }
  }
}
