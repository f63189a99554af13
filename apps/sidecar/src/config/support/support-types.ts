// Support table: its form. One entry for each Envoy message says which fields Lateen acts on; what is not listed is refused.

/** What Lateen does with one Envoy message. Field names are the proto's. */
export interface MessageSupport {
  /** Fields that Lateen acts on. */
  readonly acted: readonly string[];
  /** Fields that are accepted and change nothing for a request, each with the reason. Their content is not looked at. */
  readonly inert?: Readonly<Record<string, string>>;
  /** Fields that are acted on with these values only: enum value names, or the texts of scalars and wrapped scalars. */
  readonly only?: Readonly<Record<string, readonly string[]>>;
  /** Why a field is refused and what to use instead, where there is something better to say than "not supported". */
  readonly refused?: Readonly<Record<string, string>>;
  /** What is to know about a field that is acted on; for docs/compatibility.md. */
  readonly notes?: Readonly<Record<string, string>>;
  /** Types that may stand in a field of type Any (or in a map of Any), by field. */
  readonly anyOf?: Readonly<Record<string, readonly string[]>>;
}

/** Support by full message name, for example `envoy.config.listener.v3.Listener`. */
export type SupportTable = Readonly<Record<string, MessageSupport>>;

/** What Lateen does with one TypedStruct (a JSON object with a type URL): the allowed keys at each level. */
export interface StructSupport {
  readonly acted: Readonly<Record<string, StructValue>>;
  readonly inert?: Readonly<Record<string, string>>;
}

/** `any`: not looked into; a list holds objects or scalars of one form. */
export type StructValue =
  | 'string'
  | 'bool'
  | 'number'
  | 'any'
  | { readonly list: StructValue }
  | StructSupport
  | 'stringMap';

/** One fault, with the path of its field (`filter_chains[0].filters[0]`), empty for the whole message. */
export interface FieldProblem {
  readonly path: string;
  readonly message: string;
}
