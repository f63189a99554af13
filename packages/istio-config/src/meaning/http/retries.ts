// Meaning of the retries of an HTTP rule: known conditions, sensible limits.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { nearestWord } from '../../declare/suggest.js';
import { parseDurationMs } from '../../duration.js';
import type { HttpRoute } from '../../kinds/fields/http-route.js';
import type { FieldPath } from '../../problem.js';
import {
  isRetryCondition,
  isStatusCode,
  MAX_RETRY_CODES,
  RETRY_CONDITIONS,
  WITHOUT_EFFECT,
} from './retry-conditions.js';

/** Checks how often, how long and when a request is tried again. */
export function checkRetries({ retries, timeout }: Loose<HttpRoute>, path: FieldPath, faults: FaultList): void {
  if (!retries) return;
  const at = [...path, 'retries'];
  checkRetryPolicy(retries, at, faults);
  const { perTryTimeout } = retries;
  const whole = timeout === undefined ? undefined : parseDurationMs(timeout);
  const each = perTryTimeout === undefined ? undefined : parseDurationMs(perTryTimeout);
  if (whole !== undefined && each !== undefined && each > whole) {
    const message = `\`perTryTimeout\` is longer than the \`timeout\` of the rule (${timeout}); make it shorter`;
    faults.warning([...at, 'perTryTimeout'], 'range', message);
  }
}

/** Checks how often and when a request is tried again, wherever that is said. */
export function checkRetryPolicy(retries: Retries, path: FieldPath, faults: FaultList): void {
  checkAttempts(retries, path, faults);
  if (retries.retryOn) checkRetryOn(retries.retryOn, [...path, 'retryOn'], faults);
}

type Retries = NonNullable<Loose<HttpRoute>['retries']>;

/** `retries` without `attempts` turns retries off, as in Istio, so other settings beside it are a mistake. */
function checkAttempts(retries: Retries, path: FieldPath, faults: FaultList): void {
  const { attempts } = retries;
  if (attempts === undefined ? 'attempts' in retries : attempts > 0) return;
  const at = attempts === 0 ? [...path, 'attempts'] : path;
  const off = attempts === 0 ? 'with 0 attempts' : 'without `attempts`';
  const others = ['perTryTimeout', 'retryRemoteLocalities', 'retryOn'] as const;
  if (others.some((field) => field in retries && retries[field] !== '')) {
    const message = `${off} nothing is tried again, but there are other settings; remove them, or set \`attempts\``;
    faults.error(at, 'range', message);
  } else if ('backoff' in retries) {
    const message = `${off} nothing is tried again, so \`backoff\` has no effect; remove it, or set \`attempts\``;
    faults.warning(at, 'no-effect', message);
  }
}

/** Istio splits at the comma alone, so a space would be part of the word. */
function checkRetryOn(retryOn: string, path: FieldPath, faults: FaultList): void {
  const words = retryOn.split(',');
  if (new Set(words.filter(isStatusCode)).size > MAX_RETRY_CODES) {
    const message = `more than ${MAX_RETRY_CODES} status codes are not supported yet; write fewer, or 5xx or retriable-4xx`;
    faults.error(path, 'unsupported', message);
  }
  for (const word of words) {
    if (isRetryCondition(word)) {
      if (word === WITHOUT_EFFECT) {
        faults.warning(
          path,
          'no-effect',
          `\`${word}\` has no effect, since no upstream is called by HTTP/3; remove it`,
        );
      }
      continue;
    }
    const nearest = nearestWord(word.trim(), RETRY_CONDITIONS);
    const advice = isRetryCondition(word.trim())
      ? 'take the space out'
      : nearest
        ? `did you mean \`${nearest}\`?`
        : `write some of ${RETRY_CONDITIONS.join(', ')} or status codes`;
    faults.error(path, 'retry-on', `\`${word}\` is not a condition for a retry; ${advice}`);
  }
}
