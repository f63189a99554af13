// Translate: what a resource was made from, kept beside it: who explains a decision finds the place in the documents.

const origins = new WeakMap<object, readonly object[]>();

/** Remembers the parts of configuration that an object was made from, in order of weight. Returns the object. */
export function madeFrom<T extends object>(made: T, ...from: readonly (object | undefined)[]): T {
  origins.set(
    made,
    from.filter((origin) => origin !== undefined),
  );
  return made;
}

/**
 * The parts of specs (the objects that stand in `ConfigObject.spec`) that something was made from: of a route the rule,
 * then the condition, each followed by what that was made from in turn. Only the object itself where nothing is known.
 */
export function originsOf(made: object): readonly object[] {
  const direct = origins.get(made);
  return direct === undefined ? [made] : direct.flatMap(originsOf);
}
