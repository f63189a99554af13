// Translate: puts work off until its result is asked for, and does it once.

/** A function that computes on the first call and remembers. */
export function once<T>(compute: () => T): () => T {
  let result: { readonly value: T } | undefined;
  return () => {
    result ??= { value: compute() };
    return result.value;
  };
}
