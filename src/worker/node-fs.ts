/** `nodeFs`: the façade of src/adapters/node-fs with Node's types, and what it needs of Node or a browser. */
import { type FacadeOptions, facade } from '../adapters/node-fs/node-fs.ts';
import type { BufferClass, EmitterClass, Platform, StreamClass, Timer } from '../adapters/node-fs/platform.ts';
import type { Guest } from '../guest/guest.ts';
import type { Process } from '../guest/process.ts';

type Fs = typeof import('node:fs');

/** What of node:fs is not here; docs/node-fs.md says why. */
export type MissingFromFs =
  | 'glob'
  | 'globSync'
  | 'mkdtempDisposableSync'
  | 'Utf8Stream'
  | 'StatsFs'
  | 'promises'
  | 'default';
export type MissingFromPromises = 'glob' | 'mkdtempDisposable';
export type NodeFsPromises = Omit<Fs['promises'], MissingFromPromises>;
export type NodeFs = Omit<Fs, MissingFromFs> & { readonly promises: NodeFsPromises };

export interface NodeFsOptions extends FacadeOptions, Partial<Platform> {
  /** Whose descriptors, directory and credentials; default: a new process of the guest. */
  readonly process?: Process;
}

/** The guest's tree with the functions of node:fs. */
export function nodeFs(guest: Guest, options: NodeFsOptions = {}): NodeFs {
  const { process = guest.spawn(), watchIntervalMs, ...given } = options;
  const own = watchIntervalMs === undefined ? {} : { watchIntervalMs };
  // The compiler checks that no name is missing; the differential test, that each behaves.
  const made: Record<keyof NodeFs, unknown> & { promises: Record<keyof NodeFsPromises, unknown> } = facade(
    process,
    { ...platform(), ...given },
    own,
  );
  return made as unknown as NodeFs;
}

interface NodeTimer {
  ref(): void;
  unref(): void;
}

function platform(): Platform {
  return {
    Buffer: undefined,
    ...nodeParts(),
    later: laterCall(),
    every,
    sleep: (ms) => {
      // ORDER: nobody notifies: this is a sleep.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    },
    now: () => Date.now(),
    random: () => Math.random(),
  };
}

/** Node's own classes, without an import that a bundler for browsers would follow. */
function nodeParts(): Partial<Platform> {
  const builtin = globalThis.process?.getBuiltinModule;
  if (builtin === undefined) return {};
  const { ReadStream, WriteStream } = builtin('node:fs');
  return {
    Buffer: builtin('node:buffer').Buffer as unknown as BufferClass,
    EventEmitter: builtin('node:events').EventEmitter as unknown as EmitterClass,
    ReadStream: ReadStream as unknown as StreamClass,
    WriteStream: WriteStream as unknown as StreamClass,
    createInterface: builtin('node:readline').createInterface as (options: object) => object,
  };
}

/** setImmediate, or a message to ourselves: a timer of a browser waits 4 ms. */
function laterCall(): (call: () => void) => void {
  if (typeof setImmediate === 'function') return (call) => void setImmediate(call);
  const waiting: (() => void)[] = [];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => waiting.shift()?.();
  return (call) => {
    waiting.push(call);
    port2.postMessage(undefined);
  };
}

function every(ms: number, call: () => void): Timer {
  const timer = setInterval(call, ms);
  const node = timer as unknown as Partial<NodeTimer>;
  return { ref: () => node.ref?.(), unref: () => node.unref?.(), stop: () => clearInterval(timer) };
}
