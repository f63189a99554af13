// Metrics: numbers for "which side reports, by which statistics configuration", the first part of a metric's key.

import type { JsonObject } from '@bufbuild/protobuf';

export interface MetricScope {
  readonly inbound: boolean;
  readonly statsConfig: JsonObject;
}

/** Scopes are never forgotten: their number is small, and series that were counted under them stay. */
export class MetricScopes {
  private readonly numbers = new Map<string, number>();
  private readonly scopes: MetricScope[] = [];

  /** The scope's number, from 1. */
  scopeOf(inbound: boolean, statsConfig: JsonObject): number {
    const key = JSON.stringify([inbound, statsConfig]);
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const number = this.scopes.push({ inbound, statsConfig });
    this.numbers.set(key, number);
    return number;
  }

  scope(number: number): MetricScope | undefined {
    return this.scopes[number - 1];
  }
}
