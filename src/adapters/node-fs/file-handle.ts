/** The FileHandle of fs.promises: a descriptor that is closed once, whoever asks. */
import type { Context } from './context.ts';
import { codedError } from './errors.ts';
import type { FileCalls } from './file-calls.ts';
import { type Emitter, missing } from './platform.ts';
import { writeAll } from './promises.ts';
import type { BigIntStats, Stats } from './stats.ts';
import * as v from './validate.ts';

type Listener = (...args: unknown[]) => void;

/** What a stream over a handle is made by. */
export interface Streams {
  readStream(options: object): object;
  writeStream(options: object): object;
}

const CHUNK = 16384;

export class FileHandle {
  readonly #context: Context;
  readonly #files: FileCalls;
  readonly #streams: Streams;
  readonly #emitter: Emitter | undefined;
  #fd: number;
  #isLocked = false;

  constructor(context: Context, files: FileCalls, streams: Streams, fd: number) {
    this.#context = context;
    this.#files = files;
    this.#streams = streams;
    this.#fd = fd;
    const { EventEmitter } = context.platform;
    this.#emitter = EventEmitter === undefined ? undefined : new EventEmitter();
  }

  /** −1 once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  async appendFile(data: unknown, options?: unknown): Promise<void> {
    await this.#writeFile(data, options);
  }

  chmod(mode: unknown): Promise<void> {
    return this.#run('fchmod', () => this.#files.fchmodSync(this.#fd, mode));
  }

  chown(uid: unknown, gid: unknown): Promise<void> {
    return this.#run('fchown', () => this.#files.fchownSync(this.#fd, uid, gid));
  }

  datasync(): Promise<void> {
    return this.#run('fdatasync', () => this.#files.fdatasyncSync(this.#fd));
  }

  sync(): Promise<void> {
    return this.#run('fsync', () => this.#files.fsyncSync(this.#fd));
  }

  /** read(buffer, offset, length, position), read(buffer, options), read(options), read() */
  read(...args: readonly unknown[]): Promise<{ bytesRead: number; buffer: unknown }> {
    return this.#run('read', () => {
      const [buffer, ...rest] = ArrayBuffer.isView(args[0]) ? args : this.#ownBuffer(args[0]);
      const isOptions = typeof rest[0] === 'object' && rest[0] !== null;
      const given = (isOptions ? rest[0] : { offset: rest[0], length: rest[1], position: rest[2] }) as v.Options;
      const offset = given['offset'] ?? 0;
      const length = given['length'] ?? v.viewBytes(buffer).length - Number(offset);
      const position = Number.isSafeInteger(given['position']) ? given['position'] : null;
      return { bytesRead: this.#files.readSync(this.#fd, buffer, offset, length, position), buffer };
    });
  }

  readv(buffers: unknown, position?: unknown): Promise<{ bytesRead: number; buffers: unknown }> {
    return this.#run('readv', () => ({ bytesRead: this.#files.readvSync(this.#fd, buffers, position), buffers }));
  }

  readFile(options?: unknown): Promise<string | Uint8Array> {
    return this.#run('readFile', () => this.#files.readFileSync(this.#fd, options));
  }

  stat(options?: unknown): Promise<Stats | BigIntStats> {
    return this.#run('fstat', () => this.#files.fstatSync(this.#fd, options));
  }

  truncate(len: unknown = 0): Promise<void> {
    return this.#run('ftruncate', () => this.#files.ftruncateSync(this.#fd, len));
  }

  utimes(atime: unknown, mtime: unknown): Promise<void> {
    return this.#run('futimes', () => this.#files.futimesSync(this.#fd, atime, mtime));
  }

  write(buffer: unknown, ...rest: readonly unknown[]): Promise<{ bytesWritten: number; buffer: unknown }> {
    return this.#run('write', () => {
      const isEmpty = ArrayBuffer.isView(buffer) && buffer.byteLength === 0;
      const bytesWritten = isEmpty ? 0 : this.#files.writeSync(this.#fd, buffer, ...rest);
      return { bytesWritten, buffer };
    });
  }

  writev(buffers: unknown, position?: unknown): Promise<{ bytesWritten: number; buffers: unknown }> {
    return this.#run('writev', () => ({ bytesWritten: this.#files.writevSync(this.#fd, buffers, position), buffers }));
  }

  async writeFile(data: unknown, options?: unknown): Promise<void> {
    await this.#writeFile(data, options);
  }

  /** A second call does nothing. */
  close(): Promise<void> {
    const fd = this.#fd;
    if (fd === -1) return Promise.resolve();
    this.#fd = -1;
    const closed = this.#settle(() => this.#files.closeSync(fd));
    this.#emitter?.emit('close');
    return closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  createReadStream(options: object = {}): object {
    return this.#streams.readStream({ ...options, fd: this });
  }

  createWriteStream(options: object = {}): object {
    return this.#streams.writeStream({ ...options, fd: this });
  }

  readLines(options: object = {}): object {
    const { createInterface } = this.#context.platform;
    if (createInterface === undefined) throw missing('createInterface');
    return createInterface({ input: this.createReadStream(options), crlfDelay: Number.POSITIVE_INFINITY });
  }

  /** A stream of bytes from the position on. The handle stays open. */
  readableWebStream(options: v.Options = {}): ReadableStream {
    if (this.#fd === -1) throw invalidState('The FileHandle is closed');
    if (this.#isLocked) throw invalidState('The FileHandle is locked');
    if (options['type'] !== undefined && typeof options['type'] !== 'string') v.object(options['type'], 'options.type');
    this.#isLocked = true;
    const read = async (size: number): Promise<Uint8Array<ArrayBuffer> | undefined> => {
      const buffer = new Uint8Array(size);
      const { bytesRead } = await this.read(buffer, 0, size);
      return bytesRead === 0 ? undefined : buffer.subarray(0, bytesRead);
    };
    return new ReadableStream({
      type: 'bytes',
      async pull(controller) {
        const chunk = await read(CHUNK);
        if (chunk !== undefined) controller.enqueue(chunk);
        else controller.close();
      },
    });
  }

  on(event: string, listener: Listener): this {
    this.#events().on(event, listener);
    return this;
  }
  once(event: string, listener: Listener): this {
    this.#events().once(event, listener);
    return this;
  }
  off(event: string, listener: Listener): this {
    this.#events().removeListener(event, listener);
    return this;
  }

  #events(): Emitter {
    if (this.#emitter === undefined) throw missing('EventEmitter');
    return this.#emitter;
  }

  #ownBuffer(given: unknown): unknown[] {
    const options = given === undefined || given === null ? {} : v.object(given, 'options');
    const { buffer = this.#context.encoding.buffer(new Uint8Array(CHUNK)), ...rest } = options;
    v.viewBytes(buffer);
    return [buffer, rest];
  }

  async #writeFile(data: unknown, given: unknown): Promise<void> {
    this.#mustBeOpen('writeFile');
    await writeAll(this.#context, this.#files, this.#fd, data, v.optionsOf(given, { encoding: 'utf8' }));
  }

  async #run<T>(syscall: string, call: () => T): Promise<T> {
    this.#mustBeOpen(syscall);
    return this.#settle(call);
  }

  #mustBeOpen(syscall: string): void {
    if (this.#fd === -1) throw Object.assign(new Error('file closed'), { code: 'EBADF', syscall });
  }

  #settle<T>(call: () => T): Promise<T> {
    return this.#context.settle(call);
  }
}

function invalidState(why: string): Error {
  return codedError(Error, 'ERR_INVALID_STATE', `Invalid state: ${why}`);
}
