// Audit: how much goes to a collector in one call.

/** About twenty records: making the message takes half a millisecond, and requests wait no longer for it. */
export const MAX_CALL_CHARACTERS = 16 * 1024;
/** So long a call may take. */
export const CALL_TIMEOUT_MS = 3_000;

/** Index behind the last line that has room in a call, from the first one on; at least one. */
export function endOfCall(lines: readonly string[], first: number): number {
  let end = first + 1;
  let characters = lines[first]?.length ?? 0;
  while (end < lines.length && characters + lines[end]!.length <= MAX_CALL_CHARACTERS) {
    characters += lines[end]!.length;
    end++;
  }
  return end;
}
