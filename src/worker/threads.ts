/**
 * Workers, the same in Node and in browsers: start one, talk to it, hear of its end. The only file that knows both
 * kinds.
 */

/** What a page or a Node program holds of a worker. */
export interface Thread {
  post(message: unknown): void;
  /** Messages from the worker. */
  onMessage(listener: (message: unknown) => void): void;
  /** Called once, when the worker has ended or failed; `error` if it failed. Browsers tell failures only. */
  onExit(listener: (error: Error | undefined) => void): void;
  /** Lets the process end while the worker runs (Node). */
  unref(): void;
  terminate(): Promise<void>;
}

interface WebWorker {
  postMessage(message: unknown): void;
  addEventListener(type: string, listener: (event: { data?: unknown; message?: string }) => void): void;
  terminate(): void;
}
interface NodeWorker {
  postMessage(message: unknown): void;
  on(event: string, listener: (value: unknown) => void): unknown;
  once(event: string, listener: (value: unknown) => void): unknown;
  terminate(): Promise<number>;
  unref(): void;
}

/** A worker of either kind, as users create them. */
export type AnyWorker = WebWorker | NodeWorker;

const isNode = typeof process === 'object' && process.versions?.node !== undefined && typeof Worker === 'undefined';

/** Starts the host's worker from the file next to the bundle. */
export async function startHostWorker(): Promise<Thread> {
  if (!isNode) return adopt(new Worker(new URL('./host-worker.js', import.meta.url), { type: 'module' }));
  const { Worker: NodeWorkerClass } = await import('node:worker_threads');
  return adopt(new NodeWorkerClass(new URL('./host-worker.js', import.meta.url)) as unknown as NodeWorker);
}

/** Wraps a worker that somebody else started. */
export function adopt(worker: AnyWorker): Thread {
  return 'addEventListener' in worker && !('once' in worker)
    ? new WebThread(worker)
    : new NodeThread(worker as NodeWorker);
}

/** Whether this thread may sleep: any but a page's own. */
export function canWait(): boolean {
  return isNode || !('document' in globalThis);
}

/** Sleeps. */
export function pause(ms: number): void {
  // ORDER: nobody ever changes this word or notifies it: only time passes.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

class WebThread implements Thread {
  readonly #worker: WebWorker;
  #exit: (error: Error | undefined) => void = () => {};

  constructor(worker: WebWorker) {
    this.#worker = worker;
    // An error does not end a browser's worker: end it, as Node does, before anybody counts on that.
    worker.addEventListener('error', (event) => {
      worker.terminate();
      this.#exit(new Error(event.message ?? 'the worker failed to load'));
    });
  }
  post(message: unknown): void {
    this.#worker.postMessage(message);
  }
  onMessage(listener: (message: unknown) => void): void {
    this.#worker.addEventListener('message', (event) => listener(event.data));
  }
  onExit(listener: (error: Error | undefined) => void): void {
    this.#exit = listener;
  }
  unref(): void {}
  async terminate(): Promise<void> {
    this.#worker.terminate();
    this.#exit(undefined);
  }
}

class NodeThread implements Thread {
  readonly #worker: NodeWorker;

  constructor(worker: NodeWorker) {
    this.#worker = worker;
  }
  post(message: unknown): void {
    this.#worker.postMessage(message);
  }
  onMessage(listener: (message: unknown) => void): void {
    this.#worker.on('message', listener);
  }
  onExit(listener: (error: Error | undefined) => void): void {
    let failed: Error | undefined;
    this.#worker.once('error', (error) => {
      failed = error instanceof Error ? error : new Error(String(error));
    });
    this.#worker.once('exit', () => listener(failed));
  }
  unref(): void {
    this.#worker.unref();
  }
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** The worker's own end: messages from whoever started it, and back. */
export interface ParentPort {
  post(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Ends the worker. */
  close(): void;
}

export async function parentPort(): Promise<ParentPort> {
  if (!isNode) return webParent();
  const { parentPort: port } = await import('node:worker_threads');
  if (port === null) throw new Error('this file runs in a worker: it is started by createHost()');
  return {
    post: (message) => port.postMessage(message),
    onMessage: (listener) => port.on('message', listener),
    close: () => port.close(),
  };
}

function webParent(): ParentPort {
  const scope = globalThis as unknown as {
    postMessage(message: unknown): void;
    addEventListener(type: string, listener: (event: { data: unknown }) => void): void;
    close(): void;
  };
  return {
    post: (message) => scope.postMessage(message),
    onMessage: (listener) => scope.addEventListener('message', (event) => listener(event.data)),
    close: () => scope.close(),
  };
}
