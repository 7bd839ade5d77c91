/** Runs a piece of code in a guest worker of its own, with `guest` mounted from an attachment. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Attachment, Host } from '../../src/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'virtiofs-guest-'));
const bundle = new URL('../../dist/guest.js', import.meta.url).href;
let scripts = 0;

export interface GuestRun {
  readonly worker: Worker;
  readonly attachment: Attachment;
  /** What the code returned; rejects with what it threw. */
  readonly result: Promise<unknown>;
  /** The next thing the code said with say(). */
  said(): Promise<unknown>;
  readonly exited: Promise<void>;
}

/**
 * `body` is the body of a function of (guest, say, attachment, mount); `data` is its fifth argument. `guest`: the
 * worker is another CPU of the guest with that attachment.
 */
export function runGuest(
  host: Host,
  body: string,
  data?: unknown,
  options: { mount?: string; guest?: Attachment | undefined } = {},
): GuestRun {
  const file = join(directory, `guest-${++scripts}.mjs`);
  writeFileSync(
    file,
    `import { parentPort, workerData } from 'node:worker_threads';
     import { mount } from ${JSON.stringify(bundle)};
     const { attachment, data } = workerData;
     const say = (value) => parentPort.postMessage({ said: value });
     try {
       const guest = ${options.mount ?? 'mount(attachment)'};
       const run = (guest, say, attachment, mount, data) => { ${body} };
       const result = run(guest, say, attachment, mount, data);
       guest?.unmount();
       parentPort.postMessage({ result });
     } catch (error) {
       parentPort.postMessage({ error: { message: error.message, code: error.code, stack: error.stack } });
     }`,
  );
  const attachment = host.attach(options.guest === undefined ? {} : { guest: options.guest });
  const worker = new Worker(file, { workerData: { attachment, data } });
  const heard: unknown[] = [];
  let listener: ((value: unknown) => void) | undefined;
  const result = new Promise((resolve, reject) => {
    worker.on(
      'message',
      (message: { said?: unknown; result?: unknown; error?: { message: string; code?: string } }) => {
        if ('said' in message) {
          if (listener === undefined) heard.push(message.said);
          else listener(message.said);
          listener = undefined;
        } else if (message.error !== undefined) reject(Object.assign(new Error(message.error.message), message.error));
        else resolve(message.result);
      },
    );
    worker.once('error', reject);
  });
  result.catch(() => {});
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      host.detach(attachment);
      resolve();
    });
  });
  const said = () =>
    new Promise<unknown>((resolve) => {
      if (heard.length > 0) resolve(heard.shift());
      else listener = resolve;
    });
  return { worker, attachment, result, said, exited };
}
