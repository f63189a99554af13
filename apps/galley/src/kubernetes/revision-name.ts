// Names in a cluster: of a revision other than the default one they end with it, so that several control planes stand side by side.

export const DEFAULT_REVISION = 'default';

export function withRevision(name: string, revision: string): string {
  return revision === DEFAULT_REVISION ? name : `${name}-${revision}`;
}

/** The names under which the API server calls Galley. */
export function webhookDnsNames(namespace: string, revision: string): string[] {
  const service = `${withRevision('galley', revision)}.${namespace}.svc`;
  return [service, `${service}.cluster.local`];
}
