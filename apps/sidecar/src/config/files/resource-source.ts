// Sources: where a reference says that its resource comes from: the ADS stream, or a file.

import type { ConfigSource } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';

/** A file with a DiscoveryResponse, as `path_config_source` names it. */
export interface FileSource {
  readonly path: string;
  /** Watched instead of the file's own directory: changes in it say that the file may have changed. */
  readonly watchedDirectory: string | undefined;
}

export type ResourceSource = 'ads' | FileSource;

/** @param source one that was validated; undefined where it is neither ADS nor a file */
export function readResourceSource(source: ConfigSource | undefined): ResourceSource | undefined {
  const specifier = source?.configSourceSpecifier;
  if (specifier?.case === 'ads') return 'ads';
  // The older form of the same.
  if (specifier?.case === 'path') return { path: specifier.value, watchedDirectory: undefined };
  if (specifier?.case !== 'pathConfigSource') return undefined;
  const { path, watchedDirectory } = specifier.value;
  return { path, watchedDirectory: watchedDirectory?.path };
}

/** The same text for the same source. */
export function sourceKey(source: ResourceSource): string {
  return source === 'ads' ? 'ads' : `${source.path}\n${source.watchedDirectory ?? ''}`;
}

/** For messages. */
export function describeSource(source: ResourceSource): string {
  return source === 'ads' ? 'ADS' : source.path;
}
