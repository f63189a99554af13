// Bug report: of one proxy: what it works with. Certificates by their dates and names, never keys.

import type { ProxySource } from '../proxy-config/proxy-source.js';
import type { Report } from './report.js';

export async function addProxy(
  report: Report,
  { name, namespace }: { readonly name: string; readonly namespace: string },
  source: ProxySource,
): Promise<void> {
  const folder = `${namespace}/proxies/${name}`;
  await report.add(`${folder}/config_dump.json`, () => source.dump());
  await report.add(`${folder}/clusters.json`, () => source.clusters());
  await report.add(`${folder}/certs.json`, () => source.certs());
}
