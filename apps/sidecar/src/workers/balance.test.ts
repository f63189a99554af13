// Who is given connections: whoever has clearly fewer, and takes them.

import { expect, it } from 'vitest';
import { Balance } from './balance.js';

function balance(own: number) {
  const state = { own };
  return { state, it: new Balance(() => state.own) };
}

/** Connections come one after another; how many stay, and how many each other process is given. */
function accept(one: ReturnType<typeof balance>, count: number): Record<string, number> {
  const given: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const other = one.it.choose();
    if (other === undefined) one.state.own++;
    else given[other] = (given[other] ?? 0) + 1;
  }
  return given;
}

it('keeps what it gets while nobody has clearly fewer', () => {
  const one = balance(0);
  expect(accept(one, 100)).toEqual({});
  one.it.told(1, 96, 0);
  expect(one.it.choose()).toBeUndefined();
});

it('gives a burst to others as far as they have fewer, and no more than they say that they have received', () => {
  const one = balance(0);
  one.it.told(1, 0, 0);
  expect(accept(one, 24)).toEqual({ 1: 10 });
  expect(one.state.own).toBe(14);
  // It is silent: not more than so many are lost with it.
  expect(accept(one, 100)).toEqual({ 1: 6 });
  one.it.told(1, 16, 16);
  expect(one.it.choose()).toBe(1);
});

it('gives to the one that has least', () => {
  const one = balance(20);
  one.it.told(1, 9, 0);
  one.it.told(2, 3, 0);
  expect(accept(one, 8)).toEqual({ 1: 1, 2: 7 });
  one.it.forget(2);
  expect(accept(one, 3)).toEqual({ 1: 3 });
});
