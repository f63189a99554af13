// productpage: the HTML that a reader sees. Everything that came from outside is escaped.

import type { CallResult } from './call.js';

export const PRODUCT = {
  id: 0,
  title: 'The Comedy of Errors',
  description:
    'The Comedy of Errors is one of William Shakespeare’s early plays. It is his shortest and one of his most ' +
    'farcical comedies, with a major part of the humour coming from slapstick and mistaken identity.',
} as const;

export interface PageContent {
  readonly user: string | undefined;
  readonly details: CallResult;
  readonly reviews: CallResult;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Makes a text safe inside an element or a quoted attribute. */
export function escapeHtml(text: unknown): string {
  return String(text).replace(/[&<>"']/g, (character) => ESCAPES[character]!);
}

/** The whole product page. */
export function renderPage(content: PageContent): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(PRODUCT.title)} – Bookinfo</title>
<link rel="stylesheet" href="/static/style.css">
</head>
<body>
<header><a href="/productpage">BookInfo Sample</a>${renderSignIn(content.user)}</header>
<main>
<h1>${escapeHtml(PRODUCT.title)}</h1>
<p class="summary">${escapeHtml(PRODUCT.description)}</p>
<div class="columns">
<section><h2>Book Details</h2>${renderDetails(content.details)}</section>
<section><h2>Book Reviews</h2>${renderReviews(content.reviews)}</section>
</div>
</main>
</body>
</html>
`;
}

function renderSignIn(user: string | undefined): string {
  if (user !== undefined) {
    return `<form method="post" action="/logout"><span>${escapeHtml(user)}</span><button>Sign out</button></form>`;
  }
  return (
    '<form method="post" action="/login"><label>User name <input name="username" required maxlength="64" ' +
    'autocomplete="username"></label><label>Password <input name="passwd" type="password" ' +
    'autocomplete="off"></label><button>Sign in</button></form>'
  );
}

const DETAIL_LABELS = [
  ['ISBN-10', 'ISBN-10'],
  ['publisher', 'Publisher'],
  ['pages', 'Pages'],
  ['type', 'Type'],
  ['language', 'Language'],
] as const;

function renderDetails(details: CallResult): string {
  if (details.error !== undefined) return renderError('product details');
  const values = details.body as Partial<Record<string, unknown>>;
  const rows = DETAIL_LABELS.map(([field, label]) => `<dt>${label}</dt><dd>${escapeHtml(values[field] ?? '')}</dd>`);
  return `<dl>${rows.join('')}</dl>`;
}

interface Review {
  readonly reviewer?: unknown;
  readonly text?: unknown;
  readonly rating?: { readonly stars?: unknown; readonly color?: unknown; readonly error?: unknown };
}

function renderReviews(reviews: CallResult): string {
  if (reviews.error !== undefined) return renderError('product reviews');
  const body = reviews.body as { podname?: unknown; reviews?: readonly Review[] };
  const quotes = (body.reviews ?? []).map(
    (review) =>
      `<blockquote><p>${escapeHtml(review.text)}</p><footer>— ${escapeHtml(review.reviewer)}</footer>` +
      `${renderRating(review.rating)}</blockquote>`,
  );
  return `${quotes.join('')}<p class="served">Reviews served by: <code>${escapeHtml(body.podname ?? '')}</code></p>`;
}

function renderRating(rating: Review['rating']): string {
  if (rating === undefined) return '';
  if (rating.error !== undefined) return `<p class="error">${escapeHtml(rating.error)}</p>`;
  const stars = Math.max(0, Math.min(5, Math.trunc(Number(rating.stars) || 0)));
  const color = rating.color === 'red' ? 'red' : 'black';
  return (
    `<p class="stars stars-${color}" aria-label="${stars} of 5 stars">` +
    `${'★'.repeat(stars)}${'☆'.repeat(5 - stars)}</p>`
  );
}

function renderError(what: string): string {
  return `<p class="error">Sorry, ${what} are currently unavailable for this book.</p>`;
}

export const STYLE_SHEET = `
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #f6f7f9; }
header { display: flex; flex-wrap: wrap; gap: 1rem; justify-content: space-between; align-items: center;
  padding: .75rem 1.5rem; background: #14304f; color: #fff; }
header a { color: #fff; font-weight: 600; text-decoration: none; }
header form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; margin: 0; }
main { max-width: 62rem; margin: 2rem auto; padding: 0 1.5rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.5rem; }
section { background: #fff; border: 1px solid #dde2e8; border-radius: .5rem; padding: 1rem 1.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
blockquote { margin: 0 0 1.25rem; } blockquote p { margin: 0 0 .25rem; }
.stars { font-size: 1.4rem; letter-spacing: .1em; } .stars-red { color: #b3131b; } .stars-black { color: #000; }
.error { color: #8f1d21; background: #fdecec; padding: .5rem .75rem; border-radius: .25rem; }
.served { color: #5a6673; font-size: .85rem; }
`;
