// ratings: how many stars each reviewer gave.

import { productId, sendJson, serve } from './serve.js';

serve('ratings', (_request, response, url) => {
  const id = productId(url, 'ratings');
  if (id === undefined) return sendJson(response, 404, { error: 'try /ratings/0' });
  sendJson(response, 200, { id, ratings: { Reviewer1: 5, Reviewer2: 4 } });
});
