// Distribution: what the command line says about waiting.

import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import type { Target } from '../commands/context.js';
import { addWaitOptions, type WaitOptions, waitChoice, withWaitValue } from './wait-choice.js';

const LOCAL = { supervisor: {} as NonNullable<Target['supervisor']> };
const REMOTE = { supervisor: undefined };

function choice(target: Pick<Target, 'supervisor'>, ...words: string[]) {
  const command = addWaitOptions(new Command()).argument('[names...]').exitOverride();
  command.parse(withWaitValue(words), { from: 'user' });
  return { names: command.args, choice: waitChoice(command.opts<WaitOptions>(), target) };
}

describe('--wait', () => {
  it('is the default in a local mesh, and has to be asked for elsewhere', () => {
    expect(choice(LOCAL).choice).toEqual({ asked: false, timeoutMs: 30_000 });
    expect(choice(REMOTE).choice).toBeUndefined();
    expect(choice(REMOTE, '--wait').choice).toEqual({ asked: true, timeoutMs: 30_000 });
  });

  it.each(['--no-wait', '--wait=false'])('is switched off by %s', (word) => {
    expect(choice(LOCAL, word).choice).toBeUndefined();
  });

  it.each([
    ['--wait=10', 10_000],
    ['--wait=250ms', 250],
    ['--wait=1.5s', 1500],
    ['--wait=2m', 120_000],
  ])('takes a time: %s', (word, timeoutMs) => {
    expect(choice(LOCAL, word).choice).toEqual({ asked: true, timeoutMs });
  });

  it('leaves the word behind it alone', () => {
    const { names, choice: chosen } = choice(LOCAL, '--wait', 'virtualservice', 'reviews');
    expect(names).toEqual(['virtualservice', 'reviews']);
    expect(chosen?.asked).toBe(true);
    expect(withWaitValue(['local', 'exec', 'web', '--', 'helm', '--wait'])).toEqual([
      'local',
      'exec',
      'web',
      '--',
      'helm',
      '--wait',
    ]);
  });

  it('refuses what is no time', () => {
    expect(() => choice(LOCAL, '--wait=soon')).toThrow('--wait soon: ');
  });
});
