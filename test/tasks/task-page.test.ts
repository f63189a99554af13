// Task pages: the rules that a page has to keep.

import { describe, expect, it } from 'vitest';
import { parseTaskPage } from './task-page.js';

const page = (body: string) => parseTaskPage(`# Title\n\nSave \`a.yaml\`.\n\n${body.replaceAll("'''", '```')}\n`);

describe('a task page', () => {
  it('is files to save and commands to run', () => {
    const { title, steps, ownPorts } = page(`<!-- free port: 7000 -->
'''yaml a.yaml
kind: X
'''
<!-- numbers vary by 3 -->
'''console
$ lateenctl apply \\
    -f a.yaml
created
$ node x.mjs &
$ count
  10 v1
'''
'''text
$ not run
'''`);
    expect(title).toBe('Title');
    expect(ownPorts).toEqual(['7000']);
    expect(steps).toMatchObject([
      { kind: 'file', line: 6, name: 'a.yaml', content: 'kind: X\n' },
      { kind: 'command', line: 11, command: 'lateenctl apply \\\n    -f a.yaml', background: false },
      { kind: 'command', line: 14, command: 'node x.mjs &', background: true, output: undefined },
      { kind: 'command', line: 15, command: 'count', output: { numbersVaryBy: 3 } },
    ]);
  });

  it('may say that a command fails', () => {
    const { steps } = page("<!-- exit code: 22 -->\n'''console\n$ curl -f x\n'''\n'''console\n$ ls\n'''");
    expect(steps).toMatchObject([{ exitCode: 22 }, { exitCode: 0 }]);
  });

  it.each([
    ["'''yaml\na: 1\n'''", /names the file/],
    ["'''yaml b.yaml\na: 1\n'''\n'''console\n$ cat b.yaml\n'''", /does not tell readers of `b.yaml`/],
    ["'''yaml a.yaml\na: 1\n'''", /no command after it uses a.yaml/],
    ["'''sh\nls\n'''", /a block is/],
    ["'''console\nls\n'''", /output before the first command/],
    ["'''console\n$ ls", /has no end/],
    ['<!-- numbers differ -->', /unknown comment/],
    ['<!-- exit code: none -->', /unknown comment/],
    ["<!-- exit code: 1 -->\n'''console\n$ ls\n$ ls\n'''", /that of one command/],
    ["<!-- numbers vary by 3 -->\n'''console\n$ ls\nx\n'''", /no line of the output begins with one/],
  ])('is refused where it breaks a rule: %s', (body, error) => {
    expect(() => page(body)).toThrow(error);
  });
});
