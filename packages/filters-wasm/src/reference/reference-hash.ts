// Reference for tests: xxHash64, ring hash and Maglev as their papers and Envoy's pages tell them, without care for speed.

const MASK = (1n << 64n) - 1n;
const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const P5 = 0x27d4eb2f165667c5n;

const rotate = (value: bigint, bits: bigint) => ((value << bits) | (value >> (64n - bits))) & MASK;
const round = (state: bigint, input: bigint) => (rotate((state + input * P2) & MASK, 31n) * P1) & MASK;
const number = (bytes: Uint8Array) => bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);

/** XXH64. */
export function xxHash64(content: Uint8Array, seed: bigint): bigint {
  let at = 0;
  let hash = (seed + P5) & MASK;
  if (content.length >= 32) {
    const lanes = [seed + P1 + P2, seed + P2, seed, seed - P1].map((lane) => BigInt.asUintN(64, lane));
    for (; at + 32 <= content.length; at += 32) {
      for (let lane = 0; lane < 4; lane++) {
        lanes[lane] = round(lanes[lane]!, number(content.subarray(at + lane * 8, at + lane * 8 + 8)));
      }
    }
    hash = [1n, 7n, 12n, 18n].reduce((sum, bits, lane) => sum + rotate(lanes[lane]!, bits), 0n) & MASK;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * P1 + P4) & MASK;
  }
  hash = (hash + BigInt(content.length)) & MASK;
  for (; at + 8 <= content.length; at += 8) {
    hash = (rotate(hash ^ round(0n, number(content.subarray(at, at + 8))), 27n) * P1 + P4) & MASK;
  }
  if (at + 4 <= content.length) {
    hash = (rotate(hash ^ ((number(content.subarray(at, at + 4)) * P1) & MASK), 23n) * P2 + P3) & MASK;
    at += 4;
  }
  for (; at < content.length; at++) hash = (rotate(hash ^ ((BigInt(content[at]!) * P5) & MASK), 11n) * P1) & MASK;
  hash = ((hash ^ (hash >> 33n)) * P2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * P3) & MASK;
  return hash ^ (hash >> 32n);
}

export interface ReferenceHost {
  readonly key: string;
  readonly weight: number;
}

/** The host of the first point that is not less than the value; points by share of the weights. */
export function chooseFromRing(hosts: readonly ReferenceHost[], minSize: number, value: bigint): string {
  const shares = sharesOf(hosts);
  const least = Math.min(...shares);
  const scale = Math.ceil(least * minSize) / least;
  const points: { readonly at: bigint; readonly key: string }[] = [];
  let wanted = 0;
  hosts.forEach(({ key }, index) => {
    wanted += scale * shares[index]!;
    for (let i = 0; points.length < wanted; i++) points.push({ at: xxHash64(Buffer.from(`${key}_${i}`), 0n), key });
  });
  const after = points.filter(({ at }) => at >= value);
  return (after.length > 0 ? after : points).reduce((first, point) => (point.at < first.at ? point : first)).key;
}

/** The keys of the hosts by place: each prefers the places offset, offset + skip, …; turns by weight. */
export function fillMaglevTable(hosts: readonly ReferenceHost[], size: number): string[] {
  const shares = sharesOf(hosts);
  const largest = Math.max(...shares);
  const turns = hosts.map(({ key }, index) => ({
    key,
    share: shares[index]!,
    due: 0,
    offset: xxHash64(Buffer.from(key), 0n) % BigInt(size),
    skip: (xxHash64(Buffer.from(key), 1n) % BigInt(size - 1)) + 1n,
    tried: 0n,
  }));
  turns.sort((a, b) => (a.key < b.key ? -1 : 1));
  const table = new Array<string | undefined>(size);
  let filled = 0;
  for (let round = 1; filled < size; round++) {
    for (const turn of turns) {
      if (filled === size || round * turn.share < turn.due) continue;
      turn.due += largest;
      const place = () => Number((turn.offset + turn.skip * turn.tried++) % BigInt(size));
      let at = place();
      while (table[at] !== undefined) at = place();
      table[at] = turn.key;
      filled++;
    }
  }
  return table as string[];
}

function sharesOf(hosts: readonly ReferenceHost[]): number[] {
  const total = hosts.reduce((sum, { weight }) => sum + weight, 0);
  return hosts.map(({ weight }) => weight / total);
}
