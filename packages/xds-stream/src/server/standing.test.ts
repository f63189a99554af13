// ADS server: how a client stands with a revision: taken, pending or refused.

import { TYPE_URL } from '@lateen/xds-proto';
import { describe, expect, it } from 'vitest';
import { type AnyResponse, type SnapshotSpec, TestStream } from './test-stream.js';

const FIRST: SnapshotSpec = { version: 'v1', revision: 3, cds: { a: '1' }, eds: { a: '1' }, lds: { l: '1' } };
const { cluster, listener } = TYPE_URL;

describe.each(['sotw', 'delta'] as const)('the standing of a %s client', (form) => {
  /** A client that has everything of the first snapshot. */
  async function connected(): Promise<TestStream> {
    const stream = new TestStream({ form });
    stream.serve(FIRST);
    expect(stream.session.standing(3)).toEqual({ state: 'pending', typeUrls: [] });
    for (const kind of ['cds', 'eds', 'lds'] as const) {
      const names = kind === 'eds' ? ['a'] : [];
      if (form === 'sotw') stream.ask(kind, names);
      else stream.change(kind, { subscribe: names });
    }
    await answerAll(stream);
    expect(stream.session.standing(3)).toEqual({ state: 'taken' });
    return stream;
  }

  const names = ({ typeUrl }: AnyResponse) => (typeUrl === TYPE_URL.endpoint ? ['a'] : []);

  async function answerAll(stream: TestStream): Promise<void> {
    for (let answered = -1; answered !== 0; ) {
      const responses = await stream.take();
      answered = responses.length;
      for (const response of responses) stream.answer(response, { names: names(response) });
    }
  }

  it('is pending until the change is answered, and older revisions stay taken meanwhile', async () => {
    const stream = await connected();
    expect(stream.session.standing(4)).toEqual({ state: 'pending', typeUrls: [] });
    stream.serve({ ...FIRST, version: 'v2', revision: 5, lds: { l: '2' } });
    const [response] = await stream.take();
    expect(stream.session.standing(4)).toEqual({ state: 'pending', typeUrls: [listener] });
    expect(stream.session.standing(3)).toEqual({ state: 'taken' });
    stream.answer(response!);
    expect(stream.session.standing(5)).toEqual({ state: 'taken' });
  });

  it('is refused with the reason, until something newer is taken', async () => {
    const stream = await connected();
    stream.serve({ ...FIRST, version: 'v2', revision: 5, lds: { l: '2' } });
    stream.answer((await stream.take())[0]!, { error: 'no such filter' });
    await stream.take();
    const refused = { state: 'refused', refusals: [{ typeUrl: listener, error: 'no such filter' }] };
    expect(stream.session.standing(5)).toEqual(refused);
    // A change of something else is taken, though the old refusal stands.
    stream.serve({ ...FIRST, version: 'v3', revision: 6, lds: { l: '2' }, cds: { a: '2' } });
    await answerAll(stream);
    expect(stream.session.standing(5)).toEqual(refused);
    stream.serve({ ...FIRST, version: 'v4', revision: 7, lds: { l: '3' }, cds: { a: '2' } });
    await answerAll(stream);
    expect(stream.session.standing(7)).toEqual({ state: 'taken' });
  });

  it('of a change that does not concern the client is taken as soon as it was looked at, an old refusal or not', async () => {
    const stream = await connected();
    stream.serve({ ...FIRST, version: 'v2', revision: 5 });
    await stream.take();
    expect(stream.session.standing(5)).toEqual({ state: 'taken' });
    stream.serve({ ...FIRST, version: 'v3', revision: 6, cds: { a: '2' } });
    for (const response of await stream.take()) {
      stream.answer(response, response.typeUrl === cluster ? { error: 'no' } : { names: names(response) });
    }
    await answerAll(stream);
    stream.serve({ ...FIRST, version: 'v4', revision: 7, cds: { a: '2' } });
    await stream.take();
    expect(stream.session.standing(6).state).toBe('refused');
    expect(stream.session.standing(7)).toEqual({ state: 'taken' });
  });
});
