// Claims of verified tokens (envoy.type.matcher.v3.MetadataMatcher): found by their path, compared by the matchers of headers.
import {
  CLAIMS, CLAIMS_LENGTH, CLAIM_KEY_LENGTH, CLAIM_KIND, CLAIM_TEXT, CLAIM_VALUE_LENGTH,
} from '../../src/claims/claims-layout';
import { equals } from '../ascii';

/** The value found by nextClaim. */
export let claimAt: i32 = 0;
export let claimLength: i32 = 0;

/** The entry after `entry` (0: the first) with this path and one of these kinds (CLAIM_* bits); 0: there is none. */
export function nextClaim(entry: i32, key: i32, keyLength: i32, kinds: i32): i32 {
  const end = CLAIMS + load<i32>(CLAIMS_LENGTH);
  let at = entry == 0 ? CLAIMS : after(entry);
  while (at < end) {
    if (
      load<i32>(at + CLAIM_KEY_LENGTH) == keyLength && (load<i32>(at + CLAIM_KIND) & kinds) != 0 &&
      equals(at + CLAIM_TEXT, key, keyLength)
    ) {
      claimAt = at + CLAIM_TEXT + keyLength;
      claimLength = load<i32>(at + CLAIM_VALUE_LENGTH);
      return at;
    }
    at = after(at);
  }
  return 0;
}

@inline
function after(entry: i32): i32 {
  return entry + ((CLAIM_TEXT + load<i32>(entry + CLAIM_KEY_LENGTH) + load<i32>(entry + CLAIM_VALUE_LENGTH) + 3) & ~3);
}
