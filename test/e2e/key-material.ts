// End-to-end tests: the secrets of a local mesh, in every form in which something could show them, and everything that it shows.

import { createPrivateKey } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { httpGet } from '../harness/http-get.js';
import type { CommandResult } from '../harness/run-command.js';
import type { StatusSeen } from './local-mesh.js';

/** A secret, by where it was found, and the texts of which none may be seen. */
export interface KeptSecret {
  readonly name: string;
  readonly forms: readonly string[];
}

/** A mesh in local mode, however it was started. */
export interface ShownMesh {
  readonly stateDir: string;
  status(): Promise<StatusSeen>;
  /** Of all its processes. */
  pids(): Promise<number[]>;
  /** Runs lateenctl on it to its end, however it goes. */
  run(...args: readonly string[]): Promise<CommandResult>;
}

interface FileSeen {
  readonly name: string;
  readonly mode: number;
  readonly content: string;
}

/** The regular files below a directory, their content as Latin-1. */
export function filesBelow(directory: string, below = ''): FileSeen[] {
  return readdirSync(join(directory, below), { withFileTypes: true }).flatMap((entry): FileSeen[] => {
    const name = join(below, entry.name);
    if (entry.isDirectory()) return filesBelow(directory, name);
    if (!entry.isFile()) return [];
    const path = join(directory, name);
    return [{ name, mode: statSync(path).mode & 0o777, content: readFileSync(path, 'latin1') }];
  });
}

/** Base64 of bytes that may stand anywhere among others: each of the three ways in which they can fall. */
function base64Forms(bytes: Buffer): string[] {
  const forms = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    return text.slice(before === 0 ? 0 : 4, -4);
  });
  return [...forms, ...forms.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'))];
}

/** A private key as PEM, DER, hexadecimal digits and in base64, its secret number by itself, and as the value of a Secret. */
export function formsOfKey(pem: string): string[] {
  const key = createPrivateKey(pem);
  const { d = '' } = key.export({ format: 'jwk' }) as { d?: string };
  const number = Buffer.from(d, 'base64url');
  const lines = pem.trim().split('\n').slice(1, -1);
  return [
    ...lines.filter((line) => number.toString('base64').includes(line.slice(4, 24)) || line.length === 64).slice(0, 1),
    number.toString('latin1'),
    number.toString('hex'),
    ...base64Forms(number),
    ...base64Forms(Buffer.from(pem)).map((form) => form.slice(60, 140)),
  ].filter((form) => form.length >= 16);
}

/** Every private key, token and secret value that lies in the state directory of a mesh. */
export function secretsOf(mesh: ShownMesh): KeptSecret[] {
  return filesBelow(mesh.stateDir).flatMap(({ name, content }): KeptSecret[] => {
    const keys =
      content.match(/-----BEGIN (?:EC |RSA )?PRIVATE KEY-----[^-]+-----END (?:EC |RSA )?PRIVATE KEY-----/g) ?? [];
    // Secrets are kept as JSON, with line ends escaped.
    const found = keys.map((key) => ({ name, forms: formsOfKey(key.replaceAll('\\n', '\n')) }));
    if (/(^|\/)(token|admin-token)$/.test(name)) found.push({ name, forms: [content.trim().slice(-64)] });
    return found;
  });
}

/** Sentences that show one of the secrets. */
export function shownIn(outputs: ReadonlyMap<string, string>, secrets: readonly KeptSecret[]): string[] {
  return [...outputs].flatMap(([output, text]) => [
    ...(/PRIVATE KEY|UFJJVkFURSBLRVk/.test(text) ? [`${output} has a private key`] : []),
    ...secrets
      .filter(({ forms }) => forms.some((form) => text.includes(form)))
      .map(({ name }) => `${output} shows what is secret in ${name}`),
  ]);
}

/** What `lateenctl` prints, of the gateway where it is about a proxy; a refusal counts as well. Each costs half a second. */
const GATEWAY = 'istio-ingressgateway-0.istio-system';
const COMMANDS: readonly (readonly string[])[] = [
  ['proxy-config', 'all', GATEWAY, '-o', 'json'],
  ['proxy-config', 'secret', GATEWAY, '-o', 'json'],
  ['describe', 'pod', GATEWAY],
  ['get', 'all', '-A', '-o', 'yaml'],
  ['get', 'secret', '-A', '-o', 'yaml'],
  ['--key', 'no-such-file', '--cert', 'no-such-file', 'proxy-status'],
];

/** The regular files that processes of a mesh have open for writing, where /proc tells. */
export async function filesWrittenBy(mesh: ShownMesh): Promise<string[]> {
  return (await mesh.pids()).flatMap((pid) =>
    readdirSync(`/proc/${pid}/fd`).flatMap((number) => {
      try {
        const path = readlinkSync(`/proc/${pid}/fd/${number}`);
        const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${number}`, 'utf8'))?.[1] ?? '0';
        const isWritten = (Number.parseInt(flags, 8) & 3) !== 0;
        return isWritten && path.startsWith('/') && !/^\/(dev|proc|memfd)\b/.test(path) ? [path] : [];
      } catch {
        // Closed since.
        return [];
      }
    }),
  );
}

/** Everything that a mesh shows: logs, command lines and environments, admin pages of sidecars, pages of the control plane, the command line. */
export async function outputsOf(mesh: ShownMesh): Promise<Map<string, string>> {
  const outputs = new Map<string, string>();
  for (const { name, content } of filesBelow(mesh.stateDir)) if (name.endsWith('.log')) outputs.set(name, content);
  const { processes, pods } = await mesh.status();
  for (const { name, pid } of processes) {
    if (pid === null) continue;
    for (const file of ['cmdline', 'environ']) {
      outputs.set(`${file} of ${name}`, readFileSync(`/proc/${pid}/${file}`, 'latin1'));
    }
  }
  for (const { address } of pods) {
    const page = async (port: number, path: string) => {
      const url = `http://${address}:${port}${path}`;
      outputs.set(url, (await httpGet(url)).body);
      return outputs.get(url)!;
    };
    const help = await page(15000, '/help');
    for (const [, path = ''] of help.matchAll(/^\s*(\/[\w/]+)/gm)) await page(15000, path);
    await page(15000, '/config_dump?include_eds');
    await page(15020, '/stats/prometheus');
  }
  for (const { name, kind, address } of processes) {
    if (!/galley|pilot|citadel/.test(`${kind} ${name}`)) continue;
    for (const path of ['/metrics', '/version', '/healthz', '/ready', '/no-such-page']) {
      const url = `http://${address}:15014${path}`;
      outputs.set(url, (await httpGet(url)).body);
    }
  }
  for (const command of COMMANDS) {
    const { stdout, stderr } = await mesh.run(...command);
    outputs.set(command.join(' '), stdout + stderr);
  }
  return outputs;
}
