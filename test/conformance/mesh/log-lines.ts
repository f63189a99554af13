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

/** Lines by the request's id, and those of connections by `CLIENT>SERVER`. */
export function readLog(text: string): ReadonlyMap<string, LogLine> {
  const lines = new Map<string, LogLine>();
  for (const written of text.split('\n')) {
    const line = textOf(written);
    const [mark, id, connection = '', ...words] = line.split(' ');
    if (mark !== 'conformance' || id === undefined) continue;
    const [, termination = '', failure = ''] = TEXTS.exec(line) ?? [];
    const values = Object.fromEntries(WORDS.map((name, index) => [name, words[index] ?? '']));
    lines.set(id === '-' ? connection : id, {
      ...(values as Record<(typeof WORDS)[number], string>),
      termination,
      failure,
    });
  }
  return lines;
}
