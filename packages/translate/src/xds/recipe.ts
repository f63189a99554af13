// Build: resources before they are made: what each is made of, so that what is known already is not made again.

import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { RouteFacts } from '../consistency.js';
import type { Problem } from '../model.js';

/** One resource that can be built. */
export interface ResourceRecipe<Message> {
  readonly name: string;
  /** Everything that the resource is made of: among recipes of a type equal keys mean equal bytes, in all snapshots. */
  readonly key: string;
  build(): Message;
}

/** A route configuration; where most of it is shared with other proxies, its bytes are had without building it. */
export interface RouteRecipe extends ResourceRecipe<RouteConfiguration> {
  readonly shared?: {
    /** Bytes that mean the same as those of `build()`. */
    encode(): Uint8Array;
    facts(): RouteFacts;
  };
}

/** Recipes, and what is wrong with the configuration that they come of. */
export interface RecipeList<Message, Recipe extends ResourceRecipe<Message> = ResourceRecipe<Message>> {
  readonly recipes: readonly Recipe[];
  readonly problems: readonly Problem[];
}

/** Resources of a type that are looked up together. Working out `key` is cheap, `list` less so, `build` is not. */
export interface ResourcePart<Message, Recipe extends ResourceRecipe<Message> = ResourceRecipe<Message>> {
  /** Equal keys mean equal lists, in all snapshots and for all proxies. */
  readonly key: string;
  list(): RecipeList<Message, Recipe>;
}
