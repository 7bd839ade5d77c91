/**
 * `Wasi`: runs WASI preview 1 programs on mounted guests. One object serves one program, in the thread of its guests.
 *
 *   const wasi = new Wasi({ guest, args: ['prog'], preopens: { '/': '/' } });
 *   const { instance } = await WebAssembly.instantiate(bytes, wasi.imports());
 *   const exitCode = wasi.start(instance);
 */
import { bytesOfText } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { fillRandom } from '../../base/random.ts';
import { sleep } from '../../base/sleep.ts';
import { FsError } from '../../guest/errors.ts';
import type { Guest } from '../../guest/guest.ts';
import { AT_FDCWD, Process } from '../../guest/process.ts';
import { O_DIRECTORY, O_RDONLY } from '../../wire/mode.ts';
import { RIGHTS_ALL, RIGHTS_DIRECTORY, RIGHTS_STREAM, wasiErrno } from './abi.ts';
import { CALLS } from './calls.ts';
import { WasiExit } from './process-calls.ts';
import { Program } from './program.ts';
import { NOWHERE, type WasiStream } from './streams.ts';
import { WasiTable } from './table.ts';

/** A directory of a guest that a program gets: a path of the `guest` option, or another guest's. */
export type Preopen = string | { readonly guest: Guest; readonly path: string };

export interface WasiOptions {
  /** Whose files the program sees, as a new process of this guest. */
  readonly guest?: Guest;
  /** Instead of a guest: a process whose root, credentials and umask the program has. */
  readonly process?: Process;
  /** The first is the program's own name. Default: `['program']`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Path in the program → directory. It can reach nothing else. Default: nothing. */
  readonly preopens?: Readonly<Record<string, Preopen>>;
  /** Default: empty; what is written is lost. */
  readonly stdin?: WasiStream;
  readonly stdout?: WasiStream;
  readonly stderr?: WasiStream;
  /** Default: the guest's. */
  readonly clock?: Clock;
  /** Default: Web Crypto. */
  readonly random?: (into: Uint8Array<ArrayBuffer>) => void;
  /** Default: the thread sleeps. */
  readonly sleep?: (ms: number) => void;
}

/** wasi-threads: no thread can be started. SPEC: wasi-threads: a negative result is an error. */
const NO_THREAD = -wasiErrno(11);

export class Wasi {
  readonly #program: Program;
  readonly #processes = new Map<unknown, Process>();
  #state: 'new' | 'running' | 'initialized' | 'ended' = 'new';

  /** Throws TypeError for wrong options, FsError when a preopened directory cannot be opened. */
  constructor(options: WasiOptions) {
    const table = new WasiTable();
    for (const stream of [options.stdin, options.stdout, options.stderr]) {
      table.add({ stream: stream ?? NOWHERE, base: RIGHTS_STREAM, inheriting: 0, isNonblocking: false });
    }
    const mount = options.process?.mount ?? options.guest?.mount ?? firstGuest(options)?.mount;
    const clock = options.clock ?? mount?.options.clock;
    if (clock === undefined) throw new TypeError('Wasi needs a "guest", a "process" or a "clock"');
    this.#program = new Program({
      table,
      clock,
      args: (options.args ?? ['program']).map((text) => nulEnded('args', text)),
      env: Object.entries(options.env ?? {}).map(([key, value]) => nulEnded('env', variable(key, value))),
      random: options.random ?? fillRandom,
      sleep: options.sleep ?? sleep,
    });
    try {
      for (const [path, place] of Object.entries(options.preopens ?? {})) this.#preopen(options, table, path, place);
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** What a program imports. `memory`: for programs that import theirs, as `env.memory`. */
  imports(memory?: WebAssembly.Memory): WebAssembly.Imports {
    const calls = Object.entries(CALLS).map(([name, call]) => [
      name,
      (call as (...args: unknown[]) => number).bind(undefined, this.#program),
    ]);
    if (memory !== undefined) this.#program.ram.bind(memory);
    return {
      wasi_snapshot_preview1: Object.fromEntries(calls),
      wasi: { 'thread-spawn': () => NO_THREAD },
      ...(memory === undefined ? {} : { env: { memory } }),
    };
  }

  /** Runs a command to its end and returns its exit code. A trap throws. What it had open is closed in any case. */
  start(instance: WebAssembly.Instance): number {
    const { _start: start, _initialize: initialize } = instance.exports;
    if (typeof start !== 'function') throw new TypeError('not a WASI command: it exports no function "_start"');
    if (initialize !== undefined) throw new TypeError('a WASI command must not export "_initialize"');
    this.#begin(instance, 'running');
    try {
      start();
      return 0;
    } catch (error) {
      if (error instanceof WasiExit) return error.code;
      throw error;
    } finally {
      this.release();
    }
  }

  /** Prepares a reactor, whose exports may then be called until `release`. */
  initialize(instance: WebAssembly.Instance): void {
    const { _start: start, _initialize: initialize } = instance.exports;
    if (start !== undefined) throw new TypeError('a WASI reactor must not export "_start"');
    if (initialize !== undefined && typeof initialize !== 'function') {
      throw new TypeError('"_initialize" is exported, but no function');
    }
    this.#begin(instance, 'initialized');
    try {
      initialize?.();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Closes everything the program has open. A second call does nothing. */
  release(): void {
    this.#state = 'ended';
    for (const owner of this.#processes.values()) owner.exit();
    this.#processes.clear();
    this.#program.table.clear();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  #begin(instance: WebAssembly.Instance, next: 'running' | 'initialized'): void {
    if (this.#state !== 'new') throw new TypeError('a Wasi object runs one program, once');
    const { memory } = instance.exports;
    if (memory instanceof WebAssembly.Memory) this.#program.ram.bind(memory);
    else if (!this.#program.ram.isBound) throw new TypeError('not a WASI program: it exports no "memory"');
    this.#state = next;
  }

  #preopen(options: WasiOptions, table: WasiTable, name: string, place: Preopen): void {
    const path = typeof place === 'string' ? place : place.path;
    const owner = this.#processOf(options, name, place);
    owner.task.isBeneath = false;
    const fd = owner.openat(AT_FDCWD, bytesOfText(path), O_RDONLY | O_DIRECTORY);
    owner.task.isBeneath = true;
    if (fd < 0) throw new FsError(-fd, 'open', path);
    table.add({
      owner,
      fd,
      isDirectory: true,
      base: RIGHTS_DIRECTORY,
      inheriting: RIGHTS_ALL,
      isNonblocking: false,
      preopen: new TextEncoder().encode(name),
      listing: undefined,
    });
  }

  /** One process for each guest: its paths never leave the directories that they start from. */
  #processOf(options: WasiOptions, name: string, place: Preopen): Process {
    const guest = typeof place === 'string' ? options.guest : place.guest;
    const parent = typeof place === 'string' ? options.process : undefined;
    const mount = parent?.mount ?? guest?.mount;
    if (mount === undefined) throw new TypeError(`preopen '${name}' needs the option "guest" or "process"`);
    const known = this.#processes.get(mount);
    if (known !== undefined) return known;
    const credentials = parent?.task.credentials ?? mount.task.credentials;
    const process = new Process(mount, credentials, parent);
    this.#processes.set(mount, process);
    return process;
  }
}

function firstGuest({ preopens = {} }: WasiOptions): Guest | undefined {
  for (const place of Object.values(preopens)) if (typeof place !== 'string') return place.guest;
  return undefined;
}

function variable(key: string, value: string): string {
  if (key === '' || key.includes('=')) throw new TypeError(`'${key}' is no name of an environment variable`);
  return `${key}=${value}`;
}

function nulEnded(option: string, text: string): Uint8Array {
  if (text.includes('\0')) throw new TypeError(`option "${option}" has a NUL in ${JSON.stringify(text)}`);
  return new TextEncoder().encode(`${text}\0`);
}
