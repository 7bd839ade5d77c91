/** Python programs on one mount: each a Pyodide in a worker of its own. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Attachment, Host } from '../../src/index.ts';

/** Whether the packages of this directory are there. */
export function hasClient(name: string): boolean {
  return existsSync(new URL(`node_modules/${name}/package.json`, import.meta.url));
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

export class Python {
  readonly #host: Host;
  readonly #attachment: Attachment;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #sent = 0;

  private constructor(host: Host, attachment: Attachment, worker: Worker) {
    this.#host = host;
    this.#attachment = attachment;
    this.#worker = worker;
    worker.on('message', (answer: Answer) => this.#waiting.get(answer.id)?.(answer));
  }

  static async start(host: Host): Promise<Python> {
    const attachment = host.attach();
    const worker = new Worker(new URL('python-worker.mjs', import.meta.url), { workerData: { attachment } });
    const python = new Python(host, attachment, worker);
    await Promise.race([
      new Promise((resolve) => python.#waiting.set(0, resolve)),
      once(worker, 'error').then(([error]) => Promise.reject(error)),
    ]);
    return python;
  }

  /** Runs code, and returns what its last line is. */
  async run(code: string): Promise<unknown> {
    const id = ++this.#sent;
    const { result, error } = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#worker.postMessage({ id, code: dedent(code) });
    });
    if (error !== undefined) throw new Error(error);
    return result;
  }

  /** Ends the worker in the middle of whatever it does. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
    this.#host.detach(this.#attachment);
  }

  async stop(): Promise<void> {
    const exited = once(this.#worker, 'exit');
    this.#worker.postMessage({ id: ++this.#sent });
    await exited;
  }
}

function dedent(code: string): string {
  const lines = code.split('\n');
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length);
  const least = Math.min(...indents);
  return lines.map((line) => line.slice(least)).join('\n');
}
