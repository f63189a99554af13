// Tokens: a request's head as the filter reads and changes it.

/** A header line. The name is in lower case; bytes are characters of Latin-1. */
interface HeaderLine {
  readonly name: string;
  readonly value: string;
  readonly text: string;
  /** Not seen and never sent on (hop-by-hop): stays in the text, so that it is read the same way again. */
  readonly hidden: boolean;
}

/** What a head is made from. */
export interface HeadSource {
  /** Request line and header lines with their ends, with or without the empty line. */
  readonly text: string;
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  /** As it is matched and forwarded. */
  readonly path: string;
  /** Whether the header line at this place (0 is the first after the request line) is hidden. */
  isHidden(index: number): boolean;
}

/** `buildOriginalUri` of Envoy cuts the path here. */
const MAX_REALM_PATH = 256;

export class RequestHead {
  readonly method: string;
  #requestLine: string;
  #lines: HeaderLine[];
  #changed = false;
  readonly #realm: string;

  constructor(private readonly source: HeadSource) {
    const [requestLine = '', ...lines] = source.text.split('\r\n');
    this.method = source.method;
    this.#requestLine = requestLine;
    this.#lines = lines.flatMap((text, index) => {
      const colon = text.indexOf(':');
      if (colon < 0) return [];
      const name = text.slice(0, colon).toLowerCase();
      return {
        name,
        value: text.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, ''),
        text,
        hidden: source.isHidden(index),
      };
    });
    const { scheme, authority, path } = source;
    this.#realm = `${scheme}://${authority}${path.slice(0, MAX_REALM_PATH)}`;
  }

  /** The same head, unchanged. */
  fresh(): RequestHead {
    return new RequestHead(this.source);
  }

  /** What `www-authenticate` calls it. */
  get realm(): string {
    return this.#realm;
  }

  get changed(): boolean {
    return this.#changed;
  }

  /** Values of a header in their order. */
  values(name: string): readonly string[] {
    return this.#lines.filter((line) => line.name === name && !line.hidden).map(({ value }) => value);
  }

  remove(name: string): void {
    const kept = this.#lines.filter((line) => line.name !== name || line.hidden);
    if (kept.length === this.#lines.length) return;
    this.#lines = kept;
    this.#changed = true;
  }

  /** A value that cannot stand in a header is left out. */
  add(name: string, value: string): boolean {
    if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) return false;
    this.#lines = this.#lines.flatMap((line) => {
      // What the client called hop-by-hop would be seen with what is added, once Connection no longer names it.
      if (line.name === name && line.hidden) return [];
      return line.name === 'connection' ? withoutOption(line, name) : line;
    });
    this.#lines.push({ name, value, text: `${name}: ${value}`, hidden: false });
    this.#changed = true;
    return true;
  }

  /** Parameters of the query as [name, value], decoded. */
  parameters(): readonly (readonly [string, string])[] {
    return this.#pairs().map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0
        ? [decodePercent(pair), '']
        : [decodePercent(pair.slice(0, equals)), decodePercent(pair.slice(equals + 1))];
    });
  }

  /** Takes all parameters with this name out of the query; the others stay as they are. */
  removeParameter(name: string): void {
    const pairs = this.#pairs();
    const kept = pairs.filter((pair) => decodePercent(pair.split('=', 1)[0] ?? '') !== name);
    if (kept.length === pairs.length) return;
    const { before, after } = this.#target();
    this.#requestLine = kept.length === 0 ? `${before}${after}` : `${before}?${kept.join('&')}${after}`;
    this.#changed = true;
  }

  /** Sets a parameter of the query, in place of all with this name; both stand there as they are. */
  setParameter(name: string, value: string): void {
    this.removeParameter(name);
    const { before, query, after } = this.#target();
    this.#requestLine = `${before}?${query === '' ? '' : `${query}&`}${name}=${value}${after}`;
    this.#changed = true;
  }

  /** The request line up to the query, the query, and what is after it. */
  #target(): { readonly before: string; readonly query: string; readonly after: string } {
    const start = this.#requestLine.indexOf(' ') + 1;
    const end = this.#requestLine.lastIndexOf(' ');
    const hash = this.#requestLine.indexOf('#', start);
    const stop = hash >= 0 && hash < end ? hash : end;
    const mark = this.#requestLine.indexOf('?', start);
    if (mark < 0 || mark >= stop) {
      return { before: this.#requestLine.slice(0, stop), query: '', after: this.#requestLine.slice(stop) };
    }
    return {
      before: this.#requestLine.slice(0, mark),
      query: this.#requestLine.slice(mark + 1, stop),
      after: this.#requestLine.slice(stop),
    };
  }

  #pairs(): readonly string[] {
    const { query } = this.#target();
    return query === '' ? [] : query.split('&');
  }

  /** A cookie's value, without quotes; the first of that name counts. */
  cookie(name: string): string | undefined {
    for (const line of this.values('cookie')) {
      for (const crumb of line.split(';')) {
        const equals = crumb.indexOf('=');
        if (equals < 0 || crumb.slice(0, equals).trim() !== name) continue;
        return crumb
          .slice(equals + 1)
          .trim()
          .replace(/^"(.*)"$/, '$1');
      }
    }
    return undefined;
  }

  /** The head with what was changed, in Latin-1. */
  text(): string {
    return `${[this.#requestLine, ...this.#lines.map(({ text }) => text)].join('\r\n')}\r\n\r\n`;
  }
}

/** A line of Connection that does not name a header: what the client calls hop-by-hop is its own, and not what filters add. */
function withoutOption(line: HeaderLine, name: string): HeaderLine | [] {
  const options = line.value.split(',').map((option) => option.trim());
  const kept = options.filter((option) => option.toLowerCase() !== name);
  if (kept.length === options.length) return line;
  const value = kept.join(', ');
  return kept.length === 0 ? [] : { ...line, value, text: `${line.name}: ${value}` };
}

/** Sequences that are none stay as they are. */
function decodePercent(text: string): string {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}
