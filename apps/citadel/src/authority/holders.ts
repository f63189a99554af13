// Authority: who holds a certificate that is still valid, of which root it is, and which roots its holder said to know.

/** What an issued certificate says about its holder. */
export interface IssuedTo {
  readonly identity: string;
  readonly pod: string | undefined;
  readonly serial: string;
  /** Serial number of the certificate that this one takes the place of, where that is known. */
  readonly renews: string | undefined;
  /** Id of the root at the end of its chain. */
  readonly root: string;
  /** Ids of the roots that the holder trusted when it asked; undefined where it did not say. */
  readonly knownRoots: readonly string[] | undefined;
  readonly notAfterMs: number;
}

export interface Holder extends IssuedTo {
  /** The identity, with the pod where the token named one. */
  readonly name: string;
}

/** The last certificate of each holder. A holder is a pod, or an identity whose tokens name no pod. */
export class Holders {
  readonly #holders = new Map<string, Holder>();

  /** A later certificate of the same holder takes the place of the one before. */
  add(issued: IssuedTo): void {
    const own = issued.pod === undefined ? issued.identity : `${issued.identity} (${issued.pod})`;
    const name = (issued.renews === undefined ? undefined : this.#nameBySerial(issued.renews)) ?? own;
    this.#holders.set(name, { ...issued, name });
  }

  clear(): void {
    this.#holders.clear();
  }

  /** Those whose certificate is valid and who are not known to trust the root. */
  notKnowing(root: string, nowMs = Date.now()): Holder[] {
    return this.#valid(nowMs).filter((holder) => holder.knownRoots?.includes(root) !== true);
  }

  /** Those whose certificate is valid and of the root. */
  certifiedBy(root: string, nowMs = Date.now()): Holder[] {
    return this.#valid(nowMs).filter((holder) => holder.root === root);
  }

  #nameBySerial(serial: string): string | undefined {
    for (const holder of this.#holders.values()) if (holder.serial === serial) return holder.name;
    return undefined;
  }

  #valid(nowMs: number): Holder[] {
    for (const [name, { notAfterMs }] of this.#holders) if (notAfterMs <= nowMs) this.#holders.delete(name);
    return [...this.#holders.values()];
  }
}
