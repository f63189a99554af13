// Test oracle: a file of `rules/KIND/{good,bad,warn}`: a document, the rule of Istio that it pins, and what is expected of it.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const RULES = fileURLToPath(new URL('rules', import.meta.url));

/** `good`: nothing is wrong. `warn`: accepted with warnings. `bad`: refused. */
export type Verdict = 'good' | 'bad' | 'warn';

/** A problem that a case expects, written at the end of its line: `# error PATH: words` or `# warning PATH: words`. */
export interface ExpectedProblem {
  readonly line: number;
  readonly severity: 'error' | 'warning';
  /** '' where the document as a whole is at fault, which is written `# error : words`. */
  readonly path: string;
  /** A part of the message. */
  readonly words: string;
}

export interface RuleCase {
  readonly kind: string;
  readonly verdict: Verdict;
  readonly name: string;
  readonly content: string;
  /** The rule in words (`# rule: …`). */
  readonly rule: string;
  /** The page or proto file that states it (`# from: …`). */
  readonly from: string;
  readonly expected: readonly ExpectedProblem[];
}

/** Every case, by kind, then verdict, then name. */
export function readRuleCases(): RuleCase[] {
  const cases: RuleCase[] = [];
  for (const path of readdirSync(RULES, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!path.endsWith('.yaml')) continue;
    const [kind = '', verdict = '', file = '', ...rest] = path.split('/');
    if (!isVerdict(verdict) || file === '' || rest.length > 0) {
      throw new Error(`${path} is no KIND/{good,bad,warn}/NAME.yaml`);
    }
    const content = readFileSync(`${RULES}/${path}`, 'utf8');
    cases.push({
      kind,
      verdict,
      name: file.slice(0, -'.yaml'.length),
      content,
      rule: header(content, 'rule', path),
      from: header(content, 'from', path),
      expected: expectedProblems(content),
    });
  }
  return cases;
}

function isVerdict(text: string): text is Verdict {
  return text === 'good' || text === 'bad' || text === 'warn';
}

function header(content: string, name: string, path: string): string {
  const text = new RegExp(`^# ${name}: (.+)$`, 'm').exec(content)?.[1];
  if (text === undefined) throw new Error(`${path} has no line \`# ${name}: …\``);
  return text;
}

const EXPECTATION = / # (error|warning) (\S*?): (.+?)(?= # (?:error|warning) |$)/g;

function expectedProblems(content: string): ExpectedProblem[] {
  return content.split('\n').flatMap((text, index) =>
    [...text.matchAll(EXPECTATION)].map(([, severity, path = '', words = '']) => ({
      line: index + 1,
      severity: severity === 'error' ? ('error' as const) : ('warning' as const),
      path,
      words,
    })),
  );
}
