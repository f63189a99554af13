// Tests of the script of bash: in a real bash, with a program that notes what it is asked and answers as told.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SHELL_SCRIPTS } from './shell-scripts.js';

const directory = mkdtempSync(join(tmpdir(), 'lateen-bash-'));
const TOUCHED = join(directory, 'touched');
beforeAll(() => {
  writeFileSync(join(directory, 'completion.bash'), SHELL_SCRIPTS.bash!);
  writeFileSync(
    join(directory, 'lateenctl'),
    `#!/bin/sh\nprintf '%s\\n' "$@" > '${directory}/asked'\ncat '${directory}/answer'\n`,
    { mode: 0o755 },
  );
});
afterAll(() => rmSync(directory, { recursive: true }));

/** @param pieces the words as bash cuts them; joined they are what is typed */
function complete(line: string, pieces: readonly string[], answer: readonly string[] = []) {
  writeFileSync(join(directory, 'answer'), [...answer, ':4', ''].join('\n'));
  const script = `
    set -eu
    source "$1/completion.bash"; source "$1/completion.bash"
    COMP_LINE=$2 COMP_POINT=\${#2}
    COMP_WORDS=("\${@:3}") COMP_CWORD=$(($# - 3))
    __lateenctl_complete
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync('bash', ['--norc', '-c', script, 'bash', directory, line, ...pieces], {
    env: { PATH: `${directory}:${process.env.PATH}`, HOME: '/nowhere/me' },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  const asked = readFileSync(join(directory, 'asked'), 'utf8').split('\n').slice(0, -1);
  return { asked: asked.slice(2), offered: output.split('\n').filter((each) => each !== '') };
}

describe('completion of bash', () => {
  it.each([`vs$(touch ${TOUCHED})`, `vs\`touch ${TOUCHED}\``, `vs;touch ${TOUCHED}`, `vs[$(touch ${TOUCHED})]`])(
    'does not run what is typed: %s',
    (typed) => {
      const { asked } = complete(`lateenctl get ${typed} `, ['lateenctl', 'get', typed, '']);
      expect(asked).toEqual(['get', typed, '']);
      complete(`lateenctl get ${typed}`, ['lateenctl', 'get', typed], [typed]);
      expect(existsSync(TOUCHED)).toBe(false);
    },
  );

  it('quotes what is offered, and does not run it', () => {
    const name = `a$(touch ${TOUCHED})`;
    const { offered } = complete('lateenctl apply -f a', ['lateenctl', 'apply', '-f', 'a'], [name]);
    expect(execFileSync('bash', ['-c', `printf %s ${offered[0]}`], { encoding: 'utf8' })).toBe(name);
    expect(complete('lateenctl apply -f "a', ['lateenctl', 'apply', '-f', '"a'], [name, 'a b']).offered).toEqual([
      'a b',
    ]);
    expect(existsSync(TOUCHED)).toBe(false);
  });

  it('offers what begins as the word does, without descriptions', () => {
    const { asked, offered } = complete(
      'lateenctl get v',
      ['lateenctl', 'get', 'v'],
      ['vs\tmany words', 'dr\tx', 'v1'],
    );
    expect([asked, offered]).toEqual([
      ['get', 'v'],
      ['vs', 'v1'],
    ]);
  });

  it('joins what bash cuts at = and :', () => {
    const pieces = ['lateenctl', '--pilot', '=', 'p', ':', '15016', '--ca', '=', 'c'];
    const { asked, offered } = complete('lateenctl --pilot=p:15016 --ca=c', pieces, ['ca.pem', '--ca=cd']);
    expect(asked).toEqual(['--pilot=p:15016', '--ca=c']);
    expect(offered).toEqual(['ca.pem', 'cd']);
    expect(complete('lateenctl --ca=', ['lateenctl', '--ca', '='], ['ca.pem']).offered).toEqual(['ca.pem']);
  });

  it('takes quotes away and finds the home directory', () => {
    const pieces = ['lateenctl', '--state-dir', '~/a\\ b', 'get', '"vs"', ''];
    expect(complete(`${pieces.join(' ')}`, pieces).asked).toEqual(['--state-dir', '/nowhere/me/a b', 'get', 'vs', '']);
  });
});
