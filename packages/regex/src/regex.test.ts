// Property tests: parser and automaton against RE2's published port to JavaScript, which shares no code with ours.
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { describe, expect, it } from 'vitest';
import { compileAutomaton, matchesAutomaton, type RegexAutomaton } from './automaton.js';
import { parseRegex } from './parse.js';
import { compileProgram } from './program.js';
import { parseSubstitution } from './substitution.js';

const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);

function automatonOf(source: string): RegexAutomaton {
  const automaton = compileAutomaton(compileProgram(parseRegex(source), false));
  if (automaton === undefined) throw new Error(`${source}: the automaton is too large`);
  return automaton;
}

/** A character for each byte of UTF-8, which is how expressions and texts are read. */
function bytewise(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function ours(source: string, text: string): boolean {
  return matchesAutomaton(automatonOf(source), Buffer.from(text));
}

function refused(compile: () => unknown): boolean {
  try {
    compile();
    return false;
  } catch {
    return true;
  }
}

const atoms = fc.constantFrom(
  ...[
    'a',
    'b',
    'ab',
    '.',
    '\\.',
    '/',
    '[ab]',
    '[^a]',
    '[a-c/]',
    '\\d',
    '\\w',
    '\\W',
    '\\S',
    '[[:alpha:]]',
    '[[:^digit:]]',
  ],
  ...[
    '^',
    '$',
    '\\b',
    '\\B',
    '\\A',
    '\\z',
    '',
    'é',
    '[à-ü]',
    '\\x61',
    '\\x{E9}',
    '\\xC3',
    '\\pL',
    '\\p{Greek}',
    '\\Qa.\\E',
    '-',
  ],
  ...['[\\d-]', '[]a]', '\\n', 'K', 's', '😀', '(?i)k', '(?s).', '(?i:É)', '(?i:[^s])', '(?m:^a$)', '\\141', '[^\\pL]'],
);
const repeats = fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{0,2}', '{1,}', '*?', '+?', '??', '{0}', '{,2}');
const patterns = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4 },
    fc
      .tuple(atoms, repeats)
      .map(([atom, repeat]) => (atom === '' ? '' : `${/^.$/u.test(atom) ? atom : `(?:${atom})`}${repeat}`)),
    fc.array(tie('pattern'), { maxLength: 3 }).map((items) => items.join('')),
    fc.array(tie('pattern'), { minLength: 1, maxLength: 3 }).map((items) => `(?:${items.join('|')})`),
    fc
      .tuple(fc.constantFrom('(', '(?:', '(?i:', '(?P<n>', '(?s:', '(?U:'), tie('pattern'), repeats)
      .map(([open, inner, repeat]) => `${open}${inner})${repeat}`),
  ),
})).pattern;
const texts = fc
  .array(
    fc.constantFrom(
      'a',
      'b',
      'A',
      'c',
      '/',
      '.',
      '1',
      '_',
      'é',
      'É',
      'λ',
      '\n',
      ' ',
      '-',
      'k',
      'K',
      '\u212a',
      's',
      'ſ',
      '😀',
    ),
    {
      maxLength: 6,
    },
  )
  .map((parts) => parts.join(''));
/** What an expression is made of, in no order. */
const noise = fc
  .array(
    fc.constantFrom(
      ...[
        'a',
        'b',
        '(',
        ')',
        '[',
        ']',
        '{',
        '}',
        '*',
        '+',
        '?',
        '|',
        '^',
        '$',
        '.',
        '\\',
        '-',
        ',',
        '1',
        '2',
        ':',
        'P',
        '<',
        '>',
      ],
      ...[
        '(?',
        '(?:',
        '\\d',
        '\\p',
        '\\pL',
        '[:',
        ':]',
        'alpha',
        '[^',
        'i',
        's',
        '=',
        '!',
        '\\Q',
        '\\E',
        '\\x',
        '{1,2}',
        '1001',
      ],
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

describe('automaton', () => {
  it('matches what RE2 matches', () => {
    let matched = 0;
    fc.assert(
      fc.property(patterns, fc.array(texts, { minLength: 1, maxLength: 12 }), (source, list) => {
        if (refused(() => RE2JS.compile(bytewise(source)))) return;
        const oracle = RE2JS.compile(bytewise(source));
        const automaton = compileAutomaton(compileProgram(parseRegex(source), false));
        // Several classes of Unicode one after another have many states; those are not walked as a table.
        if (automaton === undefined) return;
        for (const text of list) {
          const expected = oracle.matches(bytewise(text));
          expect(matchesAutomaton(automaton, Buffer.from(text)), `/${source}/ on ${JSON.stringify(text)}`).toBe(
            expected,
          );
          if (expected) matched++;
        }
      }),
      { numRuns: RUNS / 5 },
    );
    expect(matched).toBeGreaterThan(RUNS / 50);
  });

  it('matches bytes of every kind, and not those of UTF-8 alone', () => {
    for (const bytes of [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
      const behind = Uint8Array.from([...bytes, ...Buffer.from('admin')]);
      for (const source of ['.*admin.*', '[^x]*admin', '\\W+admin', `.{${bytes.length}}admin`])
        expect([source, matchesAutomaton(automatonOf(source), behind)]).toEqual([source, true]);
    }
    expect(matchesAutomaton(automatonOf('\\xff\\x{fe}\\377'), Uint8Array.from([0xff, 0xfe, 0xff]))).toBe(true);
    expect(matchesAutomaton(automatonOf('(?i)\\xe9'), Uint8Array.from([0xc9]))).toBe(true);
    expect(ours('(?s).*', '\u{10ffff}\ud7ff\u0800')).toBe(true);
    expect([ours('..', 'é'), ours('é', 'é'), ours('é+', 'éé')]).toEqual([true, true, false]);
  });

  it.each([
    ['/reviews/v[0-9]+(\\.[0-9]+)*', '/reviews/v1.2', true],
    ['/reviews/v[0-9]+(\\.[0-9]+)*', '/reviews/v1.', false],
    ['^(.*?;)?(user=jason)(;.*)?$', 'theme=dark;user=jason;x=1', true],
    ['^(.*?;)?(user=jason)(;.*)?$', 'theme=dark;user=jasonx', false],
    ['(?i)/API/.*', '/api/x', true],
    ['.*\\.(png|jpe?g|css)', '/a/b.jpg', true],
    ['[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}', '123e4567-e89b-12d3-a456-426614174000', true],
  ])('%s on %s is %s', (source, text, expected) => {
    expect(ours(source, text)).toBe(expected);
  });

  it('gives up within its limits', () => {
    const program = compileProgram(parseRegex('(a|b)*a(a|b){20}'), false);
    const started = performance.now();
    expect(compileAutomaton(program)).toBeUndefined();
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(compileAutomaton(compileProgram(parseRegex('.{1,900}'), false))).toBeDefined();
  });
});

describe('parser', () => {
  it('takes what RE2 takes and refuses what RE2 refuses', () => {
    fc.assert(
      fc.property(noise, (source) => {
        // RE2 itself takes `[[:]` for a class of two characters; its port does not.
        if (source.includes('[:]')) return;
        // More than a byte, which the port takes, since it reads texts as characters.
        if (/\\x\{[0-9a-f]{3,}\}/i.test(source)) return;
        const wanted = refused(() => RE2JS.compile(source));
        expect(
          refused(() => parseRegex(source)),
          `/${source}/`,
        ).toBe(wanted);
      }),
      { numRuns: RUNS },
    );
  });

  it.each([
    ['a(?=b)', 'looks ahead or behind, which RE2 does not do, at character 2'],
    ['(?<!b)', 'looks ahead or behind'],
    ['(a)\\1', 'refers back to a group, which RE2 does not do, at character 4'],
    ['(?P=n)', 'refers back to a group'],
    ['(?>a)', 'has an atomic group'],
    ['a{1001}', 'repeats more than 1000 times'],
    ['(a{100}){100}', 'repeats more than 1000 times'],
    ['a)', 'has an unexpected ")" at character 2'],
    ['(a', 'lacks the ")" of the group at character 1'],
    ['[a', 'lacks the "]" of the class at character 1'],
    ['*a', 'has "*" with nothing before it to repeat at character 1'],
    ['a**', 'has one repetition right after another'],
    ['\\Z', 'has the unknown escape "\\Z"'],
    ['[[:alfa:]]', 'has the unknown class "[:alfa:]"'],
    ['\\p{Klingon}', 'has the unknown class "\\p{Klingon}"'],
    ['[z-a]', 'has the range "z-a", whose end is below its start'],
    ['(?P<n>a)(?P<n>b)', 'names two groups "n"'],
    ['a\\', 'ends in a single "\\"'],
    ['\\x{100}', 'has a "\\x" that is no byte'],
    ['\\400', 'has "\\400", which is more than a byte'],
  ])('says what is wrong with %s', (source, message) => {
    expect(() => parseRegex(source)).toThrow(message);
  });
});

describe('substitution', () => {
  it('has texts and groups', () => {
    expect(parseSubstitution('/v2\\1\\\\x\\0', 1)).toEqual(['/v2', 1, '\\x', 0]);
    expect(() => parseSubstitution('\\2', 1)).toThrow('names group \\2, but the expression has 1 group(s)');
    expect(() => parseSubstitution('a\\n', 1)).toThrow('has "\\n"');
  });
});
