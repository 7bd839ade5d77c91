/** What standard input, output and error are connected to. */
export interface WasiStream {
  /** Fills what it can of `into`, waiting for at least one byte: a count, 0 at the end, or a Linux errno negated. */
  read?(into: Uint8Array): number;
  /** Takes bytes, which lie in the program's memory and are good during the call only: a count, or −errno. */
  write?(from: Uint8Array): number;
  /** A person is at the other end: programs then write out each line. */
  readonly isTerminal?: boolean;
}

/** Nothing comes, and what goes is lost. */
export const NOWHERE: WasiStream = { read: () => 0, write: (from) => from.length };
