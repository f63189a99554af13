// Push: translates each distinct proxy view once. Two thousand sidecars with forty distinct views cost forty translations.

import { buildResources, checkConsistency, type Problem, type ProxyView, viewKey } from '@lateen/translate';
import type { ResourceSet } from '@lateen/xds-stream';
import { packResources } from './pack-resources.js';

/** What a view translates to. */
export interface Translation {
  readonly resources: ReadonlyMap<string, ResourceSet>;
  /** Why it must not be served; empty where it may. */
  readonly faults: readonly Problem[];
  /** Warnings, for status. */
  readonly problems: readonly Problem[];
}

interface CacheEntry {
  readonly translation: Translation;
  /** Generation in which it was last asked for. */
  usedIn: number;
}

export class TranslationCache {
  private readonly entries = new Map<string, CacheEntry>();
  private generation = 0;
  hits = 0;
  misses = 0;

  /** @param translateMiss makes what is not cached */
  constructor(private readonly translateMiss: (view: ProxyView) => Translation = translateView) {}

  get size(): number {
    return this.entries.size;
  }

  /** A new snapshot is out: what the one before did not use is dropped. */
  startGeneration(): void {
    this.generation += 1;
    for (const [key, entry] of this.entries) if (entry.usedIn < this.generation - 1) this.entries.delete(key);
  }

  /** Every translation that the newest generation used. */
  *current(): Iterable<Translation> {
    for (const { translation, usedIn } of this.entries.values()) if (usedIn === this.generation) yield translation;
  }

  /** Translates a view, or finds that it was. */
  translate(view: ProxyView): Translation {
    const key = viewKey(view);
    const known = this.entries.get(key);
    if (known !== undefined) {
      this.hits += 1;
      known.usedIn = this.generation;
      return known.translation;
    }
    this.misses += 1;
    const translation = this.translateMiss(view);
    this.entries.set(key, { translation, usedIn: this.generation });
    return translation;
  }
}

/** A view that cannot be translated is a fault of that view: other proxies are served, this one keeps what it has. */
function translateView(view: ProxyView): Translation {
  try {
    const built = buildResources(view);
    const faults = checkConsistency(built).filter(({ severity }) => severity === 'error');
    return { resources: packResources(built), faults, problems: [...view.problems, ...built.problems] };
  } catch (error) {
    const fault: Problem = {
      code: 'translation-failed',
      severity: 'error',
      subject: 'translation',
      message: `translation failed: ${(error as Error).stack ?? (error as Error).message}`,
    };
    return { resources: new Map(), faults: [fault], problems: view.problems };
  }
}
