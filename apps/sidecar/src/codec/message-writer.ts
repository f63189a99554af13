// Codec: how an exchange writes a message, whichever protocol carries it: to a socket, or as frames of a stream.

/** Told when a writer that was over the high-water mark has little left. */
export interface DrainListener {
  onDrained(): void;
}

/**
 * What is written is a message in HTTP/1.1's form: its head first, then its body with the framing that the head names.
 * Addresses are in the core's memory.
 */
export interface MessageWriter {
  /** Writes a block's first `length` bytes; the block is given back when they are no longer needed. */
  writeBlock(block: number, length: number): void;
  /** Writes bytes of a block that stays the caller's, until `giveWhenSettled`. */
  writeKept(address: number, length: number): void;
  /** Copies bytes from anywhere in the memory (the read buffer) and writes them. */
  writeCopy(address: number, length: number): void;
  /** Writes bytes outside the memory. */
  writeBuffer(buffer: Buffer): void;
  /** Writes an interim response (103), which is before the head and not part of the message. */
  writeInterim(address: number, length: number): void;
  /** Trailers as header lines; HTTP/1.1 drops them, as Envoy does by default. Before `endMessage`. */
  writeTrailers(address: number, length: number): void;
  /** Everything of the message has been written. */
  endMessage(): void;
  /** Gives a kept block back now or when the writes that are under way are complete. */
  giveWhenSettled(block: number): void;
  /** Calls back once everything that was written is on its way: now, or later; never where it ends before that. */
  whenSettled(callback: () => void): void;
  /** So much is unwritten that the source should pause; `notifyDrained` tells when to go on. */
  readonly backedUp: boolean;
  /** Only where it is backed up. */
  notifyDrained(listener: DrainListener): void;
  /** Forgets who waits, for example when the exchange has ended. */
  stopNotifying(): void;
}
