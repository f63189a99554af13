// Proxy configuration: the certificates that a sidecar really uses, from the admin API's /certs (Envoy's shape).

import { formatTable } from '../output/table.js';
import { children, type Json, text } from './config-dump.js';

export interface SecretRow {
  readonly resourceName: 'default' | 'ROOTCA';
  readonly type: 'Cert Chain' | 'CA';
  readonly status: 'ACTIVE' | 'EXPIRED' | 'NOT YET VALID';
  readonly serialNumber: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** URI of the certificate; for a workload its SPIFFE id. */
  readonly identity: string;
}

/** The certificates, one row for each distinct one. */
export function secretRows(certs: unknown, nowMs: number): SecretRow[] {
  const rows = new Map<string, SecretRow>();
  const add = (details: Json, resourceName: SecretRow['resourceName'], type: SecretRow['type']) => {
    const notBefore = text(details, 'valid_from');
    const notAfter = text(details, 'expiration_time');
    const identity = children(details, 'subject_alt_names')
      .map((name) => text(name, 'uri'))
      .find((uri) => uri !== '');
    const row: SecretRow = {
      resourceName,
      type,
      status: statusAt(notBefore, notAfter, nowMs),
      serialNumber: text(details, 'serial_number'),
      notBefore,
      notAfter,
      identity: identity ?? '',
    };
    rows.set(`${resourceName} ${row.serialNumber}`, row);
  };
  for (const certificate of children(certs, 'certificates')) {
    // Of a chain the first is the workload's own; the others lead to the root.
    const [leaf] = children(certificate, 'cert_chain');
    if (leaf !== undefined) add(leaf, 'default', 'Cert Chain');
    for (const root of children(certificate, 'ca_cert')) add(root, 'ROOTCA', 'CA');
  }
  return [...rows.values()].sort((a, b) => (a.resourceName > b.resourceName ? -1 : 1));
}

function statusAt(notBefore: string, notAfter: string, nowMs: number): SecretRow['status'] {
  if (Date.parse(notAfter) <= nowMs) return 'EXPIRED';
  return Date.parse(notBefore) > nowMs ? 'NOT YET VALID' : 'ACTIVE';
}

/** As `istioctl proxy-config secret` shows them, with the identity that each certificate carries. */
export function secretTable(rows: readonly SecretRow[]): string {
  return formatTable(
    ['RESOURCE NAME', 'TYPE', 'STATUS', 'VALID CERT', 'SERIAL NUMBER', 'NOT AFTER', 'NOT BEFORE', 'IDENTITY'],
    rows.map((row) => [
      row.resourceName,
      row.type,
      row.status,
      String(row.status === 'ACTIVE'),
      row.serialNumber,
      row.notAfter,
      row.notBefore,
      row.identity || '-',
    ]),
  );
}
