/** The host thread's end of a connection to a foreign server: one request at a time, waited for on the bridge. */
import { Worker } from 'node:worker_threads';
import { Bridge } from './bridge.ts';
import type { Link } from './relay.ts';

/** What the socket's thread is started with. */
export interface RelayWorkerData {
  readonly path: string;
  readonly shared: SharedArrayBuffer;
}

/** What it tells before the host's thread waits on the bridge alone. */
export type RelayWorkerMessage = 'open' | 'gone';

export interface RelayLinkOptions {
  /** The server's Unix socket. */
  readonly path: string;
  /** The largest payload of one request or reply. */
  readonly maxWrite: number;
  /** Tells that the host shall end: a server that does not answer is not waited for any more. */
  readonly isStopping: () => boolean;
}

/** Looks, half a second apart, at a server that does not answer while the host shall end. */
const PATIENCE = 4;

/** Connects. Throws an Error that says why that is impossible. */
export async function openRelayLink(options: RelayLinkOptions): Promise<RelayLink> {
  const bridge = Bridge.allocate(options.maxWrite);
  const workerData: RelayWorkerData = { path: options.path, shared: bridge.buffer };
  const worker = new Worker(new URL('./relay-worker.js', import.meta.url), { workerData });
  const heard = await new Promise<RelayWorkerMessage>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  if (heard === 'gone') throw new Error(`cannot connect to fuse:${options.path}: ${bridge.why}`);
  return new RelayLink(worker, bridge, options);
}

export class RelayLink implements Link {
  readonly name: string;
  readonly request: Uint8Array;
  readonly #worker: Worker;
  readonly #bridge: Bridge;
  readonly #isStopping: () => boolean;
  #hasGivenUp = false;

  /** Use openRelayLink. */
  constructor(worker: Worker, bridge: Bridge, options: RelayLinkOptions) {
    this.name = `fuse:${options.path}`;
    this.request = bridge.request;
    this.#worker = worker;
    this.#bridge = bridge;
    this.#isStopping = options.isStopping;
  }

  get reply(): Uint8Array {
    return this.#bridge.replies[this.#bridge.replyArea];
  }

  get why(): string {
    return this.#hasGivenUp ? 'the server does not answer, and the host ends' : this.#bridge.why;
  }

  get strays(): number {
    return this.#bridge.strays;
  }

  exchange(size: number, hasReply: boolean): number {
    if (this.#hasGivenUp || this.#bridge.isGone) return -1;
    this.#bridge.ask(size, hasReply);
    this.#worker.postMessage('asked');
    let looks = 0;
    return this.#bridge.awaitAnswer(() => {
      if (this.#isStopping() && ++looks > PATIENCE) this.#hasGivenUp = true;
      return this.#hasGivenUp;
    });
  }

  close(): void {
    // A message without a request on the bridge: what was sent leaves, then the socket closes.
    if (this.#hasGivenUp) void this.#worker.terminate();
    else this.#worker.postMessage('close');
  }
}
