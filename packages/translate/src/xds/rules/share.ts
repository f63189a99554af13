// Build: a percentage of a rule as Envoy's fraction.

import { create } from '@bufbuild/protobuf';
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType,
  FractionalPercentSchema,
} from '@lateen/xds-proto/envoy/type/v3/percent_pb.js';

/** A percentage, as Istio writes it: so many of a million. Nothing where the share is not said. */
export function share(percent: number | undefined): FractionalPercent {
  return create(FractionalPercentSchema, {
    numerator: Math.round((percent ?? 0) * 10_000),
    denominator: FractionalPercent_DenominatorType.MILLION,
  });
}
