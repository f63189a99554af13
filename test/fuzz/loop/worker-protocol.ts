// Fuzzing: what the thread of a target and the main thread share: the input under way, and how many there were.

export interface WorkerData {
  readonly target: string;
  readonly milliseconds: number;
  readonly seed: number;
  readonly shared: SharedArrayBuffer;
}

export const SEQUENCE_INDEX = 0;
export const LENGTH_INDEX = 1;
export const INPUT_OFFSET = 8;
const MAX_SHARED_INPUT_BYTES = 512 * 1024;

export const sharedInput = () => new SharedArrayBuffer(INPUT_OFFSET + MAX_SHARED_INPUT_BYTES);
