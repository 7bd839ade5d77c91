/** What the façade needs of the world around it. The entry point gives it: nothing here knows Node or browsers. */

/** A Buffer class as Node has it. Without one results are plain Uint8Arrays. */
export interface BufferClass {
  from(buffer: ArrayBufferLike, at: number, size: number): Uint8Array;
  from(text: string, encoding: string): Uint8Array;
}

export interface Emitter {
  on(event: string, listener: (...args: unknown[]) => void): this;
  once(event: string, listener: (...args: unknown[]) => void): this;
  removeListener(event: string, listener: (...args: unknown[]) => void): this;
  removeAllListeners(event?: string): this;
  listenerCount(event: string): number;
  emit(event: string, ...args: unknown[]): boolean;
}
export type EmitterClass = new () => Emitter;

/** A stream class that takes the file system to work on as `options.fs`, as those of node:fs do. */
export type StreamClass = new (path: unknown, options: object) => object;

export interface Timer {
  /** Keeps the program alive, or lets it end. */
  ref(): void;
  unref(): void;
  stop(): void;
}

export interface Platform {
  readonly Buffer: BufferClass | undefined;
  /** Needed for watch, watchFile and events of FileHandle. */
  readonly EventEmitter?: EmitterClass;
  /** Needed for createReadStream and createWriteStream. */
  readonly ReadStream?: StreamClass;
  readonly WriteStream?: StreamClass;
  /** Reads a stream by lines: FileHandle.readLines. */
  readonly createInterface?: (options: object) => object;
  /** Calls back after the current turn, in order, and lets timers run in between. */
  later(call: () => void): void;
  every(ms: number, call: () => void): Timer;
  /** Blocks. */
  sleep(ms: number): void;
  /** Milliseconds since 1970. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
}

/** A call that needs a part of Node which is not there. */
export function missing(what: string): Error {
  const message = `${what} is not available here: give it to nodeFs as an option`;
  return Object.assign(new TypeError(message), { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' });
}
