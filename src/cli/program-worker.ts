/** The thread of `virtiofs run` in which the program runs: mounts, runs it, tells how it ended. */
import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { parentPort, workerData } from 'node:worker_threads';
import type { WasiStream } from '../adapters/wasi/streams.ts';
import { type Preopen, Wasi } from '../adapters/wasi/wasi.ts';
import { sleep } from '../base/sleep.ts';
import type { Guest } from '../guest/guest.ts';
import { EIO, EPIPE } from '../wire/errno.ts';
import type { Attachment } from '../worker/host.ts';
import { mount } from '../worker/mount.ts';
import { InputReader } from './run-input.ts';

export interface ProgramTask {
  readonly module: WebAssembly.Module;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly attachments: readonly Attachment[];
  /** Path in the program, and which attachment's root it is. */
  readonly dirs: readonly (readonly [path: string, attachment: number])[];
  readonly input: SharedArrayBuffer;
}

export type ProgramMessage =
  | { readonly type: 'input' }
  | { readonly type: 'exit'; readonly code: number }
  | { readonly type: 'trap'; readonly text: string };

const RETRY_MS = 1;

const task = workerData as ProgramTask;
const guests = task.attachments.map((attachment) => mount(attachment));
try {
  say(await run(task, guests));
} finally {
  for (const guest of guests) guest.unmount();
}

async function run(
  { module, args, env, dirs, input }: ProgramTask,
  mounted: readonly Guest[],
): Promise<ProgramMessage> {
  const reader = new InputReader(input, () => say({ type: 'input' }));
  const preopens = dirs.map(([path, index]): [string, Preopen] => [
    path,
    { guest: mounted[index] as Guest, path: '/' },
  ]);
  const wasi = new Wasi({
    guest: mounted[0] as Guest,
    args,
    env,
    preopens: Object.fromEntries(preopens),
    stdin: { read: (into) => reader.read(into), isTerminal: isatty(0) },
    stdout: output(1),
    stderr: output(2),
  });
  const instance = await WebAssembly.instantiate(module, wasi.imports());
  try {
    return { type: 'exit', code: wasi.start(instance) };
  } catch (error) {
    // What else comes out is a fault of ours, which shall be seen as one.
    const isTrap = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
    if (!isTrap) throw error;
    return { type: 'trap', text: error.message };
  }
}

function say(message: ProgramMessage): void {
  parentPort?.postMessage(message);
}

function output(fd: number): WasiStream {
  return {
    isTerminal: isatty(fd),
    write(from) {
      for (;;) {
        try {
          return writeSync(fd, from);
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException;
          if (code !== 'EAGAIN') return code === 'EPIPE' ? -EPIPE : -EIO;
        }
        sleep(RETRY_MS);
      }
    },
  };
}
