// Conformance: the access log's format in which proxies under test write, and its lines.

/** What the access log says of a request, or of a connection. */
export interface LogLine {
  readonly code: string;
  readonly flags: string;
  readonly details: string;
  readonly cluster: string;
  readonly route: string;
  /** The endpoint's address. */
  readonly host: string;
  readonly serverName: string;
  /** Bytes from the client, and to it. */
  readonly received: string;
  readonly sent: string;
  readonly termination: string;
  readonly failure: string;
}

/** Texts that may have spaces stand at the end. */
export const LOG_FORMAT =
  'conformance %REQ(X-CONFORMANCE-ID)% %DOWNSTREAM_REMOTE_ADDRESS%>%DOWNSTREAM_LOCAL_ADDRESS% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% %ROUTE_NAME% %UPSTREAM_HOST% %REQUESTED_SERVER_NAME% %BYTES_RECEIVED% %BYTES_SENT% "%CONNECTION_TERMINATION_DETAILS%" "%UPSTREAM_TRANSPORT_FAILURE_REASON%"\n';

const WORDS = ['code', 'flags', 'details', 'cluster', 'route', 'host', 'serverName', 'received', 'sent'] as const;
const TEXTS = /"([^"]*)" "(.*)"$/;

/** Where a case asks for JSON, the rest of such a line is the value of a key `conformance`. */
const IN_JSON = '{"conformance":';

function textOf(line: string): string {
  // The end of a line may not be written yet.
  if (!line.startsWith(IN_JSON) || !line.endsWith('}')) return line;
  const { conformance } = JSON.parse(line) as { readonly conformance: string };
  return `conformance ${conformance}`;
}

/** Reads a log that grows: what was read is not read again. */
export class LogReader {
  /**
   * Lines by `ID>SERVER` of a request, and by `CLIENT>SERVER` of a connection: a request may come to a proxy twice, at two addresses. Formats
   * of a case's own may say no addresses: those by `ID`.
   */
  private readonly lines = new Map<string, LogLine>();

  /** @param newLines the lines that were ended since the last call */
  constructor(private readonly newLines: () => string) {}

  /** The line about a request, or a connection; undefined while it is not written. */
  lineOf(about: string): LogLine | undefined {
    return this.found(about) ?? this.readOn(about);
  }

  private found(about: string): LogLine | undefined {
    return this.lines.get(about) ?? this.lines.get(about.replace(/>.*/, ''));
  }

  private readOn(about: string): LogLine | undefined {
    for (const line of this.newLines().split('\n')) this.readLine(textOf(line));
    return this.found(about);
  }

  private readLine(line: string): void {
    const [mark, id, connection = '', ...words] = line.split(' ');
    if (mark !== 'conformance' || id === undefined) return;
    const [, termination = '', failure = ''] = TEXTS.exec(line) ?? [];
    const values = Object.fromEntries(WORDS.map((name, index) => [name, words[index] ?? '']));
    const [client = '', server] = connection.split('>');
    const about = id === '-' ? client : id;
    this.lines.set(server === undefined ? about : `${about}>${server}`, {
      ...(values as Record<(typeof WORDS)[number], string>),
      termination,
      failure,
    });
  }
}
