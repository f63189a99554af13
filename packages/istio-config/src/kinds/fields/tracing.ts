// Fields: tracing in Telemetry.
import { headerName } from '../../declare/formats.js';
import { map, message, nested, required } from '../../declare/message.js';
import { decimal, flag, text } from '../../declare/scalars.js';
import { modeMatch, providerReferences } from './telemetry-match.js';

/** A tag of a span. */
export const customTag = message(
  'CustomTag',
  {
    literal: nested(message('Literal', { value: required(text('The value.', { minLength: 1 })) }), 'A fixed value.'),
    environment: nested(
      message('Environment', {
        name: required(text('Its name.', { minLength: 1 })),
        defaultValue: text('Where unset.'),
      }),
      "A variable of the proxy's environment.",
    ),
    header: nested(
      message('RequestHeader', {
        name: required(text('Its name.', { minLength: 1, format: headerName })),
        defaultValue: text('Where absent.'),
      }),
      'A request header.',
    ),
    formatter: nested(
      message('Formatter', { value: required(text('A format, as of the access log.', { minLength: 1 })) }),
      'A format.',
    ),
  },
  { exactlyOneOf: [['literal', 'environment', 'header', 'formatter']] },
);

/** Tracing. */
export const tracing = message('Tracing', {
  match: nested(modeMatch, 'Which side.'),
  providers: providerReferences,
  randomSamplingPercentage: decimal('Share of requests, in percent.', { min: 0, max: 100 }),
  disableSpanReporting: flag('No spans are reported; the context is still passed on.'),
  customTags: map(customTag, 'Tags for each span.'),
  useRequestIdForTraceSampling: flag('Decide by x-request-id (default true).'),
  enableIstioTags: flag("Whether Istio's own tags are set (default true)."),
});
