/**
 * `virtiofs run [--dir GUEST::SPEC]… PROGRAM.wasm [ARG…]`: runs a WASI program on guest mounts.
 *
 * Each file system has a host in a worker of its own; the program runs in another worker, so that a signal ends it
 * whatever it does. What it wrote is written back either way; a second signal kills.
 */
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { createHost, type Host } from '../worker/host.ts';
import { UsageError } from './demo/demo.ts';
import type { ProgramMessage, ProgramTask } from './program-worker.ts';
import { loadProgram, parseRun, RUN_USAGE, type RunArguments, type RunDirectory } from './run-arguments.ts';
import { createInput, InputAnswerer } from './run-input.ts';

const MIB = 1 << 20;
const CACHE_SIZE = 256 * MIB;
/** Leaf tables take frames too: in the worst case, files of one page, half as many as the pages. */
const POOL_FACTOR = 1.5;
const POOL_EXTRA = 4 * MIB;
/** A shell's exit code for a program that SIGABRT ended. */
const TRAPPED = 134;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Returns the program's exit code; 134 if it trapped, 128 + number if a signal ended it. */
export async function runCommand(args: readonly string[]): Promise<number> {
  if (args[0] === '--help') {
    console.log(RUN_USAGE);
    return 0;
  }
  const run = parseRun(args);
  const module = await loadProgram(run.program);
  const hosts = new Map<string, Host>();
  try {
    // The program's clock is a guest's, and a guest needs a host: one that sees no files has an empty tree.
    const used = run.dirs.length > 0 ? run.dirs : [NOTHING];
    const keys = run.dirs.map(keyOf);
    for (const [i, dir] of used.entries()) {
      const key = keys[i] ?? '';
      if (!hosts.has(key)) hosts.set(key, await startHost(dir));
    }
    const order = [...hosts.keys()];
    const dirs = run.dirs.map(({ path }, i) => [path, order.indexOf(keys[i] as string)] as const);
    return await runProgram(run, module, [...hosts.values()], dirs);
  } finally {
    for (const host of hosts.values()) await host.stop();
  }
}

const NOTHING: RunDirectory = { path: '', specText: 'memory:1M', spec: { type: 'memory', size: MIB } };

/** Directories that name the same backing share a host: two would not see each other's changes. */
function keyOf({ path, specText, spec }: RunDirectory): string {
  return spec.type === 'memory' ? `${path}::${specText}` : specText;
}

async function startHost({ specText, spec }: RunDirectory): Promise<Host> {
  const cacheSize =
    spec.type === 'memory' ? Math.ceil((spec.size ?? CACHE_SIZE) * POOL_FACTOR) + POOL_EXTRA : CACHE_SIZE;
  const sized = spec.type === 'memory' ? { type: spec.type, size: spec.size ?? CACHE_SIZE } : spec;
  try {
    return await createHost({ fs: sized, cacheSize, guests: 1, kernelMounts: 0 });
  } catch (error) {
    throw new UsageError(`${specText}: ${(error as Error).message}`);
  }
}

async function runProgram(
  { program, args, env }: RunArguments,
  module: WebAssembly.Module,
  hosts: readonly Host[],
  dirs: ProgramTask['dirs'],
): Promise<number> {
  const input = createInput();
  const attachments = hosts.map((host) => host.attach());
  const task: ProgramTask = { module, args, env, attachments, dirs, input };
  const worker = new Worker(new URL('./run-program.js', import.meta.url), { workerData: task });
  let answerer: InputAnswerer | undefined;
  let code: number | undefined;
  worker.on('message', (message: ProgramMessage) => {
    if (message.type === 'input') {
      answerer ??= new InputAnswerer(input, process.stdin);
      answerer.answer();
    } else if (message.type === 'exit') code ??= message.code;
    else {
      code ??= TRAPPED;
      process.stderr.write(`virtiofs: ${program}: the program trapped: ${message.text}\n`);
    }
  });
  const release = onSignal((signal) => {
    code = 128 + constants.signals[signal];
    void worker.terminate();
  });
  const failed = await new Promise<unknown>((resolve) => {
    worker.once('error', resolve);
    worker.once('exit', () => resolve(undefined));
  });
  release();
  for (const [i, host] of hosts.entries()) host.detach(attachments[i] as (typeof attachments)[number]);
  if (answerer !== undefined) process.stdin.destroy();
  if (failed !== undefined) throw failed;
  if (code === undefined) throw new Error('the program ended without an exit code');
  return code;
}

/** Hears of the first signal; the second is the system's. */
function onSignal(hear: (signal: (typeof SIGNALS)[number]) => void): () => void {
  const listener = (signal: NodeJS.Signals) => {
    release();
    hear(signal as (typeof SIGNALS)[number]);
  };
  const release = () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return release;
}
