// Interception tests: what is said to and by the programs inside of namespaces (agent.ts).

export type Order =
  | {
      readonly do: 'listen';
      readonly who: string;
      readonly port: number;
      readonly host: string;
      readonly transparent?: boolean;
    }
  | {
      readonly do: 'dial';
      readonly host: string;
      readonly port: number;
      readonly source?: string;
      readonly hold?: string;
    }
  | {
      readonly do: 'dial-many';
      readonly host: string;
      readonly port: number;
      readonly perSecond: number;
      readonly seconds: number;
    }
  | { readonly do: 'echo'; readonly name: string; readonly text: string }
  | {
      readonly do: 'serve-names';
      readonly who: string;
      readonly port: number;
      readonly host: string;
      readonly forward?: string;
    }
  | {
      readonly do: 'ask';
      readonly host: string;
      readonly port: number;
      readonly question: string;
      readonly sourcePort?: number;
    };

/** What the one that took a connection says of it. */
export interface Welcome {
  readonly who: string;
  /** ADDRESS:PORT before a redirect. */
  readonly originalDestination: string;
  /** ADDRESS:PORT that the connection came to. */
  readonly local: string;
  /** Address that it came from. */
  readonly remote: string;
}

export interface Answer {
  readonly error?: string;
  readonly welcome?: Welcome;
  readonly text?: string;
  readonly count?: number;
  readonly medianMs?: number;
  readonly p99Ms?: number;
}

/** `ADDRESS:PORT`, with brackets where IPv6 needs them. */
export const at = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
