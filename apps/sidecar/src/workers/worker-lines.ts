// Workers: what a worker writes, as the lines that it wrote. Only a line feed ends one: clients can have other separators logged.

import { StringDecoder } from 'node:string_decoder';

/** A line that is longer is handed on in parts, so that what never ends takes no more memory than this. */
const MAX_WAITING_CHARACTERS = 256 * 1024;

/** Nothing is added to what was written and nothing taken away; what has no end yet waits for it. */
export class LineReader {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  constructor(private readonly take: (line: string) => void) {}

  write(bytes: Buffer): void {
    const text = this.#rest + this.#decoder.write(bytes);
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.take(text.slice(start, end + 1));
      start = end + 1;
    }
    this.#rest = text.slice(start);
    if (this.#rest.length > MAX_WAITING_CHARACTERS) this.#takeRest();
  }

  /** Nothing more comes. */
  end(): void {
    this.#rest += this.#decoder.end();
    this.#takeRest();
  }

  #takeRest(): void {
    if (this.#rest !== '') this.take(this.#rest);
    this.#rest = '';
  }
}
