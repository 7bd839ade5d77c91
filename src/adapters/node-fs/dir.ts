/** fs.Dir: an open directory that gives one Dirent after another. */
import type { OpenDirectory } from '../../guest/directory.ts';
import type { Context } from './context.ts';
import type { DirCalls } from './dir-calls.ts';
import { codedError } from './errors.ts';
import { join } from './paths.ts';
import type { Dirent } from './stats.ts';
import * as v from './validate.ts';

type Callback = (error: unknown, entry?: Dirent | null) => void;

export class Dir implements AsyncIterable<Dirent> {
  readonly #context: Context;
  readonly #calls: DirCalls;
  readonly #fd: number;
  readonly #path: v.FsPath;
  readonly #options: v.Options;
  /** What directories inside had, with `recursive`. */
  readonly #found: Dirent[] = [];
  #isClosed = false;

  constructor(context: Context, calls: DirCalls, fd: number, path: v.FsPath, options: v.Options) {
    this.#context = context;
    this.#calls = calls;
    this.#fd = fd;
    this.#path = path;
    this.#options = options;
  }

  get path(): v.FsPath {
    return this.#path;
  }

  readSync(): Dirent | null {
    this.#mustBeOpen();
    const entry = this.#found.shift() ?? this.#next();
    if (entry !== null && this.#options['recursive'] && entry.isDirectory()) this.#goDown(entry);
    return entry;
  }

  closeSync(): void {
    this.#mustBeOpen();
    this.#isClosed = true;
    this.#context.check(this.#context.process.close(this.#fd), 'closedir');
  }

  read(): Promise<Dirent | null>;
  read(callback: Callback): void;
  read(callback?: Callback): Promise<Dirent | null> | undefined {
    this.#mustBeOpen();
    if (callback === undefined) return this.#context.settle(() => this.readSync());
    this.#callBack(v.callback(callback, 'callback'), () => this.readSync());
    return undefined;
  }

  close(): Promise<void>;
  close(callback: Callback): void;
  close(callback?: Callback): Promise<void> | undefined {
    if (callback === undefined) return this.#context.settle(() => this.closeSync());
    this.#callBack(v.callback(callback, 'callback'), () => this.closeSync());
    return undefined;
  }

  async *entries(): AsyncGenerator<Dirent> {
    try {
      for (let entry = await this.read(); entry !== null; entry = await this.read()) yield entry;
    } finally {
      await this.close();
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Dirent> {
    return this.entries();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) await this.close();
  }

  #next(): Dirent | null {
    const directory = this.#context.process.directory(this.#fd) as OpenDirectory;
    const entry = this.#calls.next(directory);
    if (typeof entry === 'number') throw this.#context.error(entry, 'scandir', this.#path);
    return entry === undefined ? null : this.#calls.dirent(entry, this.#path, this.#options['encoding']);
  }

  #goDown(entry: Dirent): void {
    const path = join(String(entry.parentPath), String(entry.name));
    for (const child of this.#calls.entries(path)) {
      this.#found.push(this.#calls.dirent(child, path, this.#options['encoding']));
    }
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw codedError(Error, 'ERR_DIR_CLOSED', 'Directory handle was closed');
  }

  #callBack(callback: (error: unknown, value?: unknown) => void, call: () => unknown): void {
    const { later } = this.#context.platform;
    try {
      const value = call();
      later(() => callback(null, value));
    } catch (error) {
      later(() => callback(error));
    }
  }
}
