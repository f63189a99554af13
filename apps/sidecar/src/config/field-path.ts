// Bootstrap file: field paths as people write them (`a.b[0].c["d.e"]`) and as steps to walk.

import type { PathStep } from './located-yaml.js';

const STEP = /\["([^"]*)"\]|\[(\d+)\]|([^.[\]]+)/g;

export function parseFieldPath(path: string): PathStep[] {
  return [...path.matchAll(STEP)].map(([, key, index, name]) =>
    index !== undefined ? Number(index) : (key ?? name ?? ''),
  );
}

export function formatFieldPath(steps: readonly PathStep[]): string {
  let path = '';
  for (const step of steps) {
    if (typeof step === 'number') path += `[${step}]`;
    else if (/[^A-Za-z0-9_@]/.test(step)) path += `["${step}"]`;
    else path += path === '' ? step : `.${step}`;
  }
  return path;
}
