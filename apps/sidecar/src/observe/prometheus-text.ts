// Metrics: writes Prometheus's text format, version 0.0.4.

export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export type MetricType = 'counter' | 'gauge' | 'histogram';

/** Collects lines; each metric's samples must be added together. */
export class PrometheusText {
  readonly #lines: string[] = [];

  /** @param filter metrics whose name does not hold this text are left out */
  constructor(private readonly filter = '') {}

  /** Whether a metric is to be written; who has many series need not gather them otherwise. */
  wants(name: string): boolean {
    return name.includes(this.filter);
  }

  /** Starts a metric. */
  metric(name: string, type: MetricType, help: string): void {
    if (!this.wants(name)) return;
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  /** @param labels as `formatLabels` gives them; empty for none */
  sample(name: string, labels: string, value: number): void {
    if (!this.wants(name)) return;
    this.#lines.push(labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`);
  }

  toString(): string {
    return this.#lines.length === 0 ? '' : `${this.#lines.join('\n')}\n`;
  }
}

const SPECIAL = /["\\\n]/g;
const ESCAPES: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n' };

/** `a="1",b="2"` */
export function formatLabels(labels: Iterable<readonly [string, string]>): string {
  let text = '';
  for (const [name, value] of labels) {
    if (text !== '') text += ',';
    text += `${name}="${value.replace(SPECIAL, (character) => ESCAPES[character] as string)}"`;
  }
  return text;
}
