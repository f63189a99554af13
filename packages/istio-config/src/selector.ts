// Values: label selectors.

/** Labels by name. */
export type Labels = Readonly<Record<string, string>>;

/** Whether labels satisfy a selector: each of its labels is there with that value. No selector, or an empty one, selects all. */
export function selectorMatches(selector: Labels | undefined, labels: Labels): boolean {
  if (!selector) return true;
  for (const [name, value] of Object.entries(selector)) {
    if (!Object.hasOwn(labels, name) || labels[name] !== value) return false;
  }
  return true;
}
