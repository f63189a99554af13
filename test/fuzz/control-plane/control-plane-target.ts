// Fuzzing, the control plane: changed documents go to a real Galley, what they become comes from a real Pilot by ADS, and a good
// document that follows them still arrives.

import { TYPE_URL } from '@lateen/xds-proto';
import type { ApplyResponse, Problem } from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import { waitUntil } from '../../harness/wait-until.js';
import { type FuzzTarget, failed, type Outcome, passed } from '../loop/fuzz-target.js';
import type { Random } from '../loop/random.js';
import { mutateYaml } from '../mutate/mutate-yaml.js';
import { istioSeeds } from '../targets/istio-yaml.js';
import { LiveMesh } from './live-mesh.js';

/** At most so many documents come between two good ones. */
const MAX_DOCUMENTS = 12;
const FIRST_SEEDS = 24;
const SAMPLES = /^kind: *(?:VirtualService|DestinationRule|Gateway|ServiceEntry)\b/m;
const ARRIVAL_MS = 15_000;
/** Those that may hide the good document from a proxy by right, and those for which Pilot would fetch something. */
const LEFT_OUT = /Sidecar|RequestAuthentication/;

export class ControlPlaneTarget implements FuzzTarget {
  readonly name = 'control-plane';
  readonly isSlow = true;
  readonly oracle =
    "Galley's process accepts a document or places what is wrong with it; Pilot's process serves a consistent set in order, and goes on";

  readonly #samples = istioSeeds().filter((seed) => SAMPLES.test(seed.toString()));
  #mesh: LiveMesh | undefined;
  #markers = 0;
  #documents = 0;
  #accepted = 0;

  async start(): Promise<void> {
    this.#mesh = await LiveMesh.start();
    const first = await this.#goodArrives(this.#mesh);
    if (first !== undefined) throw new Error(first);
  }

  async stop(): Promise<void> {
    await this.#mesh?.stop();
  }

  /** Some of the samples, since each is run first; all of them lend their parts. */
  seeds(): readonly Buffer[] {
    const step = this.#samples.length / FIRST_SEEDS;
    return Array.from({ length: FIRST_SEEDS }, (_, index) => this.#samples[Math.floor(index * step)]!);
  }

  mutate(random: Random, input: Buffer, other: Buffer): Buffer {
    const pieces = [input, other, random.pick(this.#samples)].map((piece) =>
      mutateYaml(random, piece, random.pick(this.#samples)),
    );
    return Buffer.from(pieces.join('\n---\n'));
  }

  async run(input: Buffer): Promise<Outcome> {
    const mesh = this.#mesh as LiveMesh;
    const documents = input
      .toString('utf8')
      .split(/^---$/m)
      .filter((text) => text.trim() !== '' && !LEFT_OUT.test(text))
      .slice(0, MAX_DOCUMENTS);
    const taken: { kind: string; namespace: string; name: string }[] = [];
    const codes = new Set<string>();
    for (const [index, text] of documents.entries()) {
      const file = `fuzz-${index}.yaml`;
      const answer = await mesh.apply(file, text);
      this.#documents++;
      const fault = faultOf(answer, file, text.split('\n').length);
      if (fault !== undefined) return failed(fault);
      for (const { code, path } of answer.problems) codes.add(`${code} ${path.replace(/\d+/g, '#').slice(0, 60)}`);
      if (answer.results.length > 0) this.#accepted++;
      taken.push(...answer.results.map(({ kind, namespace, name }) => ({ kind, namespace, name })));
    }
    const fault = await this.#goodArrives(mesh);
    await mesh.delete(taken);
    if (fault !== undefined) return failed(fault);
    return passed([taken.length > 0, ...[...codes].sort().slice(0, 6)].join('; '), taken.length > 0);
  }

  /** Applies a good document, and waits until all proxies have it and hold nothing that leads nowhere. */
  async #goodArrives(mesh: LiveMesh): Promise<string | undefined> {
    const mark = `marker-${++this.#markers}.`;
    const { problems } = await mesh.apply('good.yaml', goodDocument(mark));
    if (problems.length > 0) return `a good document is not accepted: ${problems[0]?.message}`;
    let inconsistent: string | undefined;
    try {
      await waitUntil('it', () => mesh.ended() !== undefined || mesh.hold(TYPE_URL.route, mark), ARRIVAL_MS);
      // What is no longer used goes a moment later.
      await waitUntil(
        'it',
        () => {
          inconsistent = mesh.fault();
          return inconsistent === undefined;
        },
        ARRIVAL_MS,
      );
    } catch {
      const what = inconsistent ?? 'a good document does not arrive';
      return mesh.ended() ?? `${what}; ${await mesh.snapshot()}`;
    }
    return mesh.ended() ?? mesh.takeViolation();
  }

  atEnd = async () => (this.#mesh as LiveMesh).memoryFault();
  summary = () => [`${this.#accepted} of ${this.#documents} documents were accepted`];
}

/** Every proxy has it: sidecars as a host of their forward proxy, the gateway at a port. */
function goodDocument(mark: string): string {
  return `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: fuzz-marker, namespace: istio-system }
spec:
  hosts: [marker.fuzz.internal]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints: [{ address: 127.0.0.9 }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: fuzz-marker, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 18765, name: http-marker, protocol: HTTP }, hosts: [marker.fuzz.internal] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: fuzz-marker, namespace: istio-system }
spec:
  hosts: [marker.fuzz.internal]
  gateways: [mesh, fuzz-marker]
  http: [{ name: ${mark}, route: [{ destination: { host: marker.fuzz.internal } }] }]
`;
}

/** What is wrong with an answer of Galley. */
function faultOf({ problems, results }: ApplyResponse, file: string, lines: number): string | undefined {
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0 && results.length > 0) return 'a document with errors was stored';
  for (const problem of problems) {
    const fault = problemFault(problem, file, lines);
    if (fault !== undefined) return `${fault}: ${problem.file}:${problem.line} ${problem.path} ${problem.message}`;
  }
  return undefined;
}

function problemFault({ file, line, column, message }: Problem, own: string, lines: number): string | undefined {
  if (file !== own) return 'a problem names another file';
  if (line < 1 || line > lines || column < 1) return 'a problem is placed outside of the file';
  return message.trim() === '' ? 'a problem says nothing' : undefined;
}
