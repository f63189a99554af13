// A fraction of requests, as the tables have it.
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType,
} from '@lateen/xds-proto/envoy/type/v3/percent_pb.js';

/** A fraction of a million, -1 where there is none. */
export function millionths(fraction: FractionalPercent | undefined): number {
  if (fraction === undefined) return -1;
  const perUnit = {
    [FractionalPercent_DenominatorType.HUNDRED]: 10_000,
    [FractionalPercent_DenominatorType.TEN_THOUSAND]: 100,
    [FractionalPercent_DenominatorType.MILLION]: 1,
  };
  return Math.min(fraction.numerator * (perUnit[fraction.denominator] ?? 10_000), 1_000_000);
}
