// details: facts about a book.

import { productId, sendJson, serve } from './serve.js';

serve('details', (_request, response, url) => {
  const id = productId(url, 'details');
  if (id === undefined) return sendJson(response, 404, { error: 'try /details/0' });
  sendJson(response, 200, {
    id,
    author: 'William Shakespeare',
    year: 1595,
    type: 'paperback',
    pages: 200,
    publisher: 'PublisherA',
    language: 'English',
    'ISBN-10': '1234567890',
    'ISBN-13': '123-1234567890',
  });
});
