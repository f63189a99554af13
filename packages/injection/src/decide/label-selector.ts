// Decision: label selectors as Kubernetes has them.

/** Kubernetes' LabelSelector; an empty one selects everything. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly LabelExpression[];
}

export interface LabelExpression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

type Labels = Readonly<Record<string, string>>;

/** The first part that labels do not fulfil; undefined where they are selected. */
export function firstMismatch(selector: LabelSelector | undefined, labels: Labels): LabelExpression | undefined {
  return expressionsOf(selector).find((expression) => !fulfils(expression, labels));
}

export function selects(selector: LabelSelector | undefined, labels: Labels): boolean {
  return firstMismatch(selector, labels) === undefined;
}

export function isEmptySelector(selector: LabelSelector): boolean {
  return expressionsOf(selector).length === 0;
}

/** As `kubectl -l` writes it. */
export function formatSelector(selector: LabelSelector): string {
  return expressionsOf(selector).map(formatExpression).join(',') || 'everything';
}

export function formatExpression({ key, operator, values = [] }: LabelExpression): string {
  if (operator === 'Exists') return key;
  if (operator === 'DoesNotExist') return `!${key}`;
  if (values.length === 1) return `${key}${operator === 'In' ? '=' : '!='}${values[0]}`;
  return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
}

function expressionsOf(selector: LabelSelector | undefined): LabelExpression[] {
  const equals = Object.entries(selector?.matchLabels ?? {});
  return [
    ...equals.map(([key, value]): LabelExpression => ({ key, operator: 'In', values: [value] })),
    ...(selector?.matchExpressions ?? []),
  ];
}

/** A label that is not there fulfils NotIn. */
function fulfils({ key, operator, values = [] }: LabelExpression, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}
