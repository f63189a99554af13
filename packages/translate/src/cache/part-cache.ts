// Cache: the built resources of one type, by the keys of the parts that hold them and of the recipes they were made by.

import type { Any } from '@bufbuild/protobuf/wkt';
import type { Problem } from '../model.js';
import { compareText } from '../stable-hash.js';
import type { ResourcePart, ResourceRecipe } from '../xds/recipe.js';
import { type PackedResource, withVersion } from './pack-resource.js';

/** A resource as it is sent, and what the check before serving asks of it. The message itself is not kept. */
export interface BuiltResource<Facts> extends PackedResource {
  readonly facts: Facts;
}

/** A part with everything in it built. */
export interface BuiltPart<Facts> {
  /** By name, in the order of names. */
  readonly resources: ReadonlyMap<string, BuiltResource<Facts>>;
  /** Names that more than one recipe of the part has. */
  readonly duplicateNames: readonly string[];
  readonly problems: readonly Problem[];
}

/** Makes a resource of a type. */
export type MakeResource<Recipe, Facts> = (recipe: Recipe) => { readonly any: Any; readonly facts: Facts };

interface HeldPart<Facts> {
  readonly part: BuiltPart<Facts>;
  readonly recipeKeys: readonly string[];
  /** Generation in which it was last asked for. */
  usedIn: number;
}

interface HeldResource<Facts> {
  readonly resource: BuiltResource<Facts>;
  /** Parts that hold it. */
  parts: number;
}

export class PartCache<Message, Facts, Recipe extends ResourceRecipe<Message> = ResourceRecipe<Message>> {
  private readonly parts = new Map<string, HeldPart<Facts>>();
  private readonly resources = new Map<string, HeldResource<Facts>>();
  /** Lookups of parts that were found. */
  hits = 0;
  /** Lookups of parts that had to be put together, of resources known or new. */
  misses = 0;
  /** Resources that were built and packed. */
  built = 0;

  constructor(private readonly make: MakeResource<Recipe, Facts>) {}

  get partCount(): number {
    return this.parts.size;
  }

  get resourceCount(): number {
    return this.resources.size;
  }

  /** The part with its resources built. Throws what listing or building throws, and then keeps nothing. */
  get({ key, list }: ResourcePart<Message, Recipe>, generation: number): BuiltPart<Facts> {
    const known = this.parts.get(key);
    if (known !== undefined) {
      this.hits += 1;
      known.usedIn = generation;
      return known.part;
    }
    this.misses += 1;
    const { recipes, problems } = list();
    const sorted = [...recipes].sort((a, b) => compareText(a.name, b.name));
    const built = sorted.map((recipe) => this.resourceOf(recipe));
    const held = { part: assemble(sorted, built, problems), recipeKeys: sorted.map((recipe) => recipe.key) };
    for (const [index, recipeKey] of held.recipeKeys.entries()) this.hold(recipeKey, built[index]!);
    this.parts.set(key, { ...held, usedIn: generation });
    return held.part;
  }

  /** Drops parts that were not asked for since a generation, and resources that no part holds any more. */
  dropUnusedSince(generation: number): void {
    for (const [key, { recipeKeys, usedIn }] of this.parts) {
      if (usedIn >= generation) continue;
      this.parts.delete(key);
      for (const recipeKey of recipeKeys) this.release(recipeKey);
    }
  }

  private resourceOf(recipe: Recipe): BuiltResource<Facts> {
    const known = this.resources.get(recipe.key);
    if (known !== undefined) return known.resource;
    const { any, facts } = this.make(recipe);
    this.built += 1;
    return { ...withVersion(any), facts };
  }

  private hold(recipeKey: string, resource: BuiltResource<Facts>): void {
    const known = this.resources.get(recipeKey);
    if (known === undefined) this.resources.set(recipeKey, { resource, parts: 1 });
    else known.parts += 1;
  }

  private release(recipeKey: string): void {
    const held = this.resources.get(recipeKey);
    if (held === undefined) return;
    held.parts -= 1;
    if (held.parts === 0) this.resources.delete(recipeKey);
  }
}

function assemble<Facts>(
  recipes: readonly { readonly name: string }[],
  built: readonly BuiltResource<Facts>[],
  problems: readonly Problem[],
): BuiltPart<Facts> {
  const resources = new Map<string, BuiltResource<Facts>>();
  const duplicateNames: string[] = [];
  for (const [index, { name }] of recipes.entries()) {
    if (resources.has(name)) duplicateNames.push(name);
    resources.set(name, built[index]!);
  }
  return { resources, duplicateNames, problems };
}
