// Values: `--set PATH=VALUE`: a value at a path, as Helm and istioctl users write it.

/** A path that cannot be read, or that goes through what is no mapping. */
export class SetValueError extends Error {
  override readonly name = 'SetValueError';
}

type Step = string | number;

/**
 * Puts a value into a tree of plain objects, making what is missing on the way.
 * Paths are `a.b[0].c`; a dot in a key is written `\.`. Values are YAML scalars: `true`, `3`, `null`, text; `{a,b}` is a list.
 * @param isText whether what is at a path is a text, where `1` means `"1"`
 * @throws SetValueError that quotes the argument
 */
export function setValue(
  root: Record<string, unknown>,
  argument: string,
  isText: (path: readonly Step[]) => boolean = () => false,
): void {
  const at = argument.indexOf('=');
  if (at <= 0) throw new SetValueError(`--set ${argument}: expected PATH=VALUE, such as profile=demo`);
  const steps = readPath(argument.slice(0, at), argument);
  let owner: unknown = root;
  for (const [index, step] of steps.slice(0, -1).entries()) {
    owner = entered(owner, step, typeof steps[index + 1] === 'number', argument);
  }
  const last = steps.at(-1)!;
  if (Array.isArray(owner) !== (typeof last === 'number')) throw wrongOwner(argument, last);
  if (Array.isArray(owner)) atIndex(owner, last as number, argument);
  (owner as Record<Step, unknown>)[last] = readValue(argument.slice(at + 1), isText(steps));
}

function readPath(path: string, argument: string): Step[] {
  const steps: Step[] = [];
  const parts = path.match(/\[\d+\]|(?:\\.|[^.[\\])+|\.|\[/g) ?? [];
  let wantsKey = true;
  for (const part of parts) {
    if (part === '.' && !wantsKey) {
      wantsKey = true;
      continue;
    }
    const index = /^\[(\d+)\]$/.exec(part);
    if (index !== null && steps.length > 0) {
      steps.push(Number(index[1]));
    } else if (wantsKey && part !== '.' && part !== '[' && index === null) {
      const key = part.replace(/\\(.)/g, '$1');
      if (key === '__proto__') throw new SetValueError(`--set ${argument}: ${key} is no field; remove it`);
      steps.push(key);
    } else {
      throw new SetValueError(`--set ${argument}: the path is not readable at "${part}"; write it as a.b[0].c`);
    }
    wantsKey = false;
  }
  if (wantsKey)
    throw new SetValueError(`--set ${argument}: the path ends where a name is expected; write it as a.b[0].c`);
  return steps;
}

function entered(owner: unknown, step: Step, wantsList: boolean, argument: string): unknown {
  if (Array.isArray(owner) !== (typeof step === 'number')) throw wrongOwner(argument, step);
  if (Array.isArray(owner)) atIndex(owner, step as number, argument);
  const fields = owner as Record<Step, unknown>;
  const present = fields[step];
  if (present === undefined || present === null) fields[step] = wantsList ? [] : {};
  else if (typeof present !== 'object') throw wrongOwner(argument, step);
  return fields[step];
}

function atIndex(items: readonly unknown[], index: number, argument: string): void {
  if (index > items.length)
    throw new SetValueError(`--set ${argument}: the list has ${items.length} items; the next is [${items.length}]`);
}

function wrongOwner(argument: string, step: Step): SetValueError {
  return new SetValueError(
    `--set ${argument}: what is before "${step}" has another shape; see the values by lateenctl manifest values`,
  );
}

function readValue(text: string, isText: boolean): unknown {
  if (isText) return text === 'null' ? null : text;
  if (text.startsWith('{') && text.endsWith('}')) {
    const inside = text.slice(1, -1);
    return inside === '' ? [] : inside.split(',').map((item) => readScalar(item.trim()));
  }
  return readScalar(text);
}

function readScalar(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === 'null') return null;
  // What reads back the same is a number: 1.10 and 007 are texts.
  return /^-?\d+(\.\d+)?$/.test(text) && String(Number(text)) === text ? Number(text) : text;
}
