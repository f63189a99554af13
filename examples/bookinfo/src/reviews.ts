// reviews: what readers wrote. SERVICE_VERSION v1 shows no stars, v2 black ones, v3 red ones (asked of ratings).

import { type CallResult, forwardedHeaders, getJson } from './call.js';
import { productId, sendJson, serve } from './serve.js';

const RATINGS_TIMEOUT_MS = 2500;
const STAR_COLORS: Readonly<Record<string, string>> = { v2: 'black', v3: 'red' };

const version = process.env.SERVICE_VERSION ?? 'v1';
const starColor = STAR_COLORS[version];

const TEXTS = {
  Reviewer1: 'An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!',
  Reviewer2:
    'Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.',
} as const;
type Reviewer = keyof typeof TEXTS;

serve(`reviews ${version}`, async (request, response, url) => {
  const id = productId(url, 'reviews');
  if (id === undefined) return sendJson(response, 404, { error: 'try /reviews/0' });
  const ratings =
    starColor === undefined
      ? undefined
      : await getJson('ratings', `/ratings/${id}`, forwardedHeaders(request.headers), RATINGS_TIMEOUT_MS);
  const reviews = (Object.keys(TEXTS) as Reviewer[]).map((reviewer) => ({
    reviewer,
    text: TEXTS[reviewer],
    ...(ratings === undefined ? {} : { rating: ratingOf(ratings, reviewer) }),
  }));
  sendJson(response, 200, { id, podname: process.env.POD_NAME ?? process.env.HOSTNAME ?? '', version, reviews });
});

function ratingOf(ratings: CallResult, reviewer: Reviewer): { stars: number; color?: string } | { error: string } {
  const stars = (ratings.body as { ratings?: Partial<Record<string, unknown>> } | undefined)?.ratings?.[reviewer];
  if (ratings.error !== undefined || typeof stars !== 'number') {
    if (ratings.error !== undefined) console.error(`ratings: ${ratings.error}`);
    return { error: 'Ratings service is currently unavailable' };
  }
  return { stars, color: starColor };
}
