// productpage: the front of the sample. Asks details and reviews, and shows one page; signing in sets `end-user`.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { forwardedHeaders, getJson } from './call.js';
import { PRODUCT, renderPage, STYLE_SHEET } from './page.js';
import { sendJson, serve } from './serve.js';
import { signedInCookie, signedInUser, signedOutCookie } from './session.js';

const CALL_TIMEOUT_MS = 3000;
const MAX_FORM_BYTES = 4096;

serve('productpage', async (request, response, url) => {
  const route = `${request.method} ${url.pathname}`;
  switch (route) {
    case 'GET /':
    case 'GET /index.html':
      return redirect(response);
    case 'GET /productpage':
    case 'HEAD /productpage':
      return showPage(request, response);
    case 'POST /login':
      return signIn(request, response);
    case 'POST /logout':
    case 'GET /logout':
      return redirect(response, signedOutCookie());
    case 'GET /static/style.css':
      return send(response, 200, 'text/css; charset=utf-8', STYLE_SHEET);
    case 'GET /api/v1/products':
      return sendJson(response, 200, [PRODUCT]);
  }
  const api = /^GET \/api\/v1\/products\/([0-9]{1,9})(\/reviews|\/ratings)?$/.exec(route);
  if (api !== null) return passThrough(request, response, api[1]!, api[2]);
  sendJson(response, 404, { error: 'no such page; try /productpage' });
});

/** What calls on behalf of this request carry: the signed-in user wins over an `end-user` header from outside. */
function headersFor(request: IncomingMessage): Record<string, string> {
  const headers = forwardedHeaders(request.headers);
  const user = signedInUser(request.headers.cookie);
  if (user !== undefined) headers['end-user'] = user.replace(/[^\x20-\x7e]/g, '?');
  return headers;
}

async function showPage(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers = headersFor(request);
  const [details, reviews] = await Promise.all([
    getJson('details', `/details/${PRODUCT.id}`, headers, CALL_TIMEOUT_MS),
    getJson('reviews', `/reviews/${PRODUCT.id}`, headers, CALL_TIMEOUT_MS),
  ]);
  if (details.error !== undefined) console.error(`details: ${details.error}`);
  if (reviews.error !== undefined) console.error(`reviews: ${reviews.error}`);
  const page = renderPage({ user: signedInUser(request.headers.cookie), details, reviews });
  send(response, 200, 'text/html; charset=utf-8', page);
}

async function signIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const form = await readForm(request);
  if (form === undefined) return sendJson(response, 413, { error: `the form is larger than ${MAX_FORM_BYTES} bytes` });
  const user = (form.get('username') ?? '').trim();
  if (user === '') return sendJson(response, 400, { error: 'the form needs a field `username`' });
  redirect(response, signedInCookie(user));
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAX_FORM_BYTES) return undefined;
  }
  return new URLSearchParams(text);
}

async function passThrough(
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
  part: string | undefined,
): Promise<void> {
  const [service, path] = part === undefined ? ['details', `/details/${id}`] : [part.slice(1), `${part}/${id}`];
  const result = await getJson(service, path, headersFor(request), CALL_TIMEOUT_MS);
  if (result.error === undefined) return sendJson(response, 200, result.body);
  sendJson(response, result.status || 503, { error: `${service} is not available: ${result.error}` });
}

function redirect(response: ServerResponse, cookie?: string): void {
  response.writeHead(302, {
    location: '/productpage',
    'content-length': 0,
    ...(cookie === undefined ? {} : { 'set-cookie': cookie }),
  });
  response.end();
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'content-security-policy': "default-src 'none'; style-src 'self'; form-action 'self'",
    'cache-control': 'no-store',
  });
  response.end(body);
}
