// Bug report: what is collected, and what could not be. Everything passes `add`, which takes secrets out.

import { stringify } from 'yaml';
import { redactText, redactValue } from './redact.js';

export interface ReportEntry {
  /** For example `istio-system/pods.yaml`. */
  readonly path: string;
  readonly text: string;
}

export class Report {
  readonly entries: ReportEntry[] = [];
  /** What is not in it, and why. */
  readonly missing: string[] = [];

  /** Adds what is read: text as it is, other values as the path's ending says. What fails is told in `missing`. */
  async add(path: string, read: () => Promise<unknown>): Promise<void> {
    try {
      const value = await read();
      const safe = typeof value === 'string' ? value : redactValue(value);
      const text =
        typeof safe === 'string'
          ? safe
          : path.endsWith('.yaml')
            ? stringify(safe)
            : `${JSON.stringify(safe, null, 2)}\n`;
      this.entries.push({ path, text: redactText(text) });
    } catch (error) {
      this.miss(path, error);
    }
  }

  miss(what: string, error: unknown): void {
    this.missing.push(`${what}: ${redactText((error as Error).message)}`);
  }

  /** Runs what is needed before anything can be added; undefined where it fails. */
  async attempt<T>(what: string, action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      this.miss(what, error);
      return undefined;
    }
  }
}
