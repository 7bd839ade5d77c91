/** node:fs by descriptor: open, read, write, whole files. Everything synchronous; the other forms are made from it. */
import { EBADF, EINVAL } from '../../wire/errno.ts';
import type { Context } from './context.ts';
import { codedError, outOfRange, unknownEncoding, wrongType, wrongValue } from './errors.ts';
import { type BigIntStats, type Stats, statsOf } from './stats.ts';
import * as v from './validate.ts';

const BLOCK = 64 * 1024;
const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
const MAX_READ = 2 ** 31 - 1;

export class FileCalls {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  openSync(pathLike: unknown, flags?: unknown, mode?: unknown): number {
    const path = v.pathArgument(pathLike);
    const bits = v.openFlags(flags);
    return this.#open(path, bits, v.fileMode(mode, 'mode', 0o666));
  }

  closeSync(fd: unknown): void {
    this.#call('close', this.#context.process.close(v.descriptor(fd)));
  }

  readSync(fdLike: unknown, view: unknown, ...rest: readonly unknown[]): number {
    const fd = v.descriptor(fdLike);
    const buffer = v.viewBytes(view);
    const { offset: at, length: size, position } = readArguments(buffer, rest);
    const offset = at === undefined ? 0 : v.integer(at, 'offset', 0);
    const length = Number(size) | 0;
    if (length === 0) return 0;
    if (buffer.length === 0) throw wrongValue('buffer', view, 'is empty and cannot be written');
    if (length < 0) throw outOfRange('length', '>= 0', length);
    if (offset + length > buffer.length) throw outOfRange('length', `<= ${buffer.length - offset}`, length);
    return this.read(fd, buffer, offset, length, readPosition(position));
  }

  readvSync(fdLike: unknown, views: unknown, position?: unknown): number {
    const fd = v.descriptor(fdLike);
    const buffers = v.viewList(views);
    // SPEC: libuv, uv_fs_read: no buffers are wrong before anything else is.
    if (buffers.length === 0) return this.#call('read', -EINVAL);
    let pos = writePosition(position);
    let done = 0;
    for (const buffer of buffers) {
      if (buffer.length === 0) continue;
      const n = this.#pread(fd, buffer, 0, buffer.length, pos);
      if (n < 0 && done === 0) return this.#call('read', n);
      if (n <= 0) break;
      done += n;
      if (pos >= 0) pos += n;
      if (n < buffer.length) break;
    }
    if (done === 0 && this.#context.process.getFlags(fd) < 0) return this.#call('read', -EBADF);
    return done;
  }

  writeSync(fdLike: unknown, data: unknown, ...rest: readonly unknown[]): number {
    const fd = v.descriptor(fdLike);
    if (!ArrayBuffer.isView(data)) {
      const [position, encoding] = rest;
      const isOdd = typeof data === 'string' && data.length % 2 !== 0;
      if (isOdd && String(encoding).toLowerCase() === 'hex') {
        throw wrongValue('encoding', encoding, `is invalid for data of length ${data.length}`);
      }
      const bytes = this.#encode(v.checkIsText(data, 'buffer'), encoding);
      return this.write(fd, bytes, 0, bytes.length, writePosition(position));
    }
    const buffer = v.viewBytes(data);
    const { offset: at, length: size, position } = writeArguments(buffer, rest);
    const offset = at === undefined || at === null ? 0 : v.integer(at, 'offset', 0);
    const length = typeof size === 'number' ? size : buffer.length - offset;
    if (offset > buffer.length) throw outOfRange('offset', `<= ${buffer.length}`, offset);
    if (length > buffer.length - offset) throw outOfRange('length', `<= ${buffer.length - offset}`, length);
    if (length < 0) throw outOfRange('length', '>= 0', length);
    return this.write(fd, buffer, offset, v.int32(length, 'length', 0), writePosition(position));
  }

  writevSync(fdLike: unknown, views: unknown, position?: unknown): number {
    const fd = v.descriptor(fdLike);
    const buffers = v.viewList(views);
    let pos = writePosition(position);
    let done = 0;
    for (const buffer of buffers) {
      const n = this.#pwrite(fd, buffer, 0, buffer.length, pos);
      if (n < 0 && done === 0) return this.#call('write', n);
      if (n < 0) break;
      done += n;
      if (pos >= 0) pos += n;
      if (n < buffer.length) break;
    }
    return done;
  }

  /** `position` below 0: the file's own. */
  read(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    return this.#call('read', this.#pread(fd, buffer, offset, length, position));
  }

  write(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    return this.#call('write', this.#pwrite(fd, buffer, offset, length, position));
  }

  ftruncateSync(fdLike: unknown, len: unknown = 0): void {
    const size = Math.max(0, v.integer(len, 'len'));
    this.#call('ftruncate', this.#context.process.ftruncate(v.descriptor(fdLike), size));
  }

  fsyncSync(fd: unknown): void {
    this.#call('fsync', this.#context.process.fsync(v.descriptor(fd)));
  }

  fdatasyncSync(fd: unknown): void {
    this.#call('fdatasync', this.#context.process.fsync(v.descriptor(fd), true));
  }

  fstatSync(fd: unknown, options?: unknown): Stats | BigIntStats {
    const inode = this.#context.process.fstat(v.descriptor(fd));
    if (typeof inode === 'number') throw this.#context.error(inode, 'fstat');
    return statsOf(inode, (options as v.Options | undefined)?.['bigint'] === true);
  }

  fchmodSync(fd: unknown, mode?: unknown): void {
    const bits = v.fileMode(mode);
    this.#call('fchmod', this.#context.process.fchmod(v.descriptor(fd), bits));
  }

  fchownSync(fd: unknown, uid?: unknown, gid?: unknown): void {
    const [owner, group] = [v.ownerId(uid, 'uid'), v.ownerId(gid, 'gid')];
    this.#call('fchown', this.#context.process.fchown(v.descriptor(fd), owner, group));
  }

  futimesSync(fd: unknown, atime?: unknown, mtime?: unknown): void {
    const { platform, process: proc } = this.#context;
    const [a, m] = [v.seconds(atime, platform.now, 'atime'), v.seconds(mtime, platform.now, 'mtime')];
    this.#call('futime', proc.futimens(v.descriptor(fd), v.timeOfSeconds(a), v.timeOfSeconds(m)));
  }

  readFileSync(path: unknown, given?: unknown): string | Uint8Array {
    const options = v.optionsOf(given, { flag: 'r' });
    v.checkNotAborted(options);
    const bytes = this.#withFile(path, options['flag'], 0o666, (fd) => this.#readAll(fd, options['encoding']));
    if (options['encoding'] === 'buffer') return this.#refuse(bytes);
    return this.#context.encoding.decode(bytes, options['encoding']);
  }

  writeFileSync(path: unknown, data: unknown, given?: unknown): void {
    this.writeFile(path, data, given, false);
  }

  /** `writesNothing`: the callback form writes even no bytes, and so finds out about a bad descriptor. */
  writeFile(path: unknown, data: unknown, given: unknown, writesNothing: boolean): void {
    const options = v.optionsOf(given, { encoding: 'utf8', mode: 0o666, flag: 'w', flush: false });
    const flush = v.boolean(options['flush'] ?? false, 'options.flush');
    v.checkNotAborted(options);
    const bytes = ArrayBuffer.isView(data)
      ? v.viewBytes(data)
      : this.#encode(v.checkIsText(data, 'data'), options['encoding']);
    this.#withFile(path, options['flag'] || 'w', options['mode'], (fd) => {
      if (writesNothing && bytes.length === 0) this.write(fd, bytes, 0, 0, -1);
      for (let done = 0; done < bytes.length; ) done += this.write(fd, bytes, done, bytes.length - done, -1);
      if (flush) this.fsyncSync(fd);
      return bytes;
    });
  }

  appendFileSync(path: unknown, data: unknown, given?: unknown): void {
    this.appendFile(path, data, given, false);
  }

  appendFile(path: unknown, data: unknown, given: unknown, writesNothing: boolean): void {
    const options = v.optionsOf(given, { encoding: 'utf8', mode: 0o666, flag: 'a' });
    this.writeFile(path, data, { ...options, flag: options['flag'] || 'a' }, writesNothing);
  }

  /** 'buffer' passes as an encoding, and then is none: Node finds out when there is something to decode. */
  #refuse(bytes: Uint8Array): string {
    if (bytes.length > 0) throw unknownEncoding('buffer');
    return '';
  }

  #withFile(path: unknown, flag: unknown, mode: unknown, call: (fd: number) => Uint8Array): Uint8Array {
    if (v.isDescriptor(path)) return call(v.descriptor(path));
    const fd = this.openSync(path, flag, mode ?? 0o666);
    try {
      return call(fd);
    } finally {
      this.#context.process.close(fd);
    }
  }

  /** As Node: as many bytes as a regular file has; to the end, of one that says it has none. */
  #readAll(fd: number, encoding: unknown): Uint8Array {
    const inode = this.#context.process.fstat(fd);
    const isText = encoding === 'utf8' || encoding === 'utf-8';
    if (typeof inode === 'number') throw this.#context.error(inode, isText ? 'read' : 'fstat');
    const size = inode.isRegular ? inode.size : 0;
    if (size > MAX_READ) {
      throw codedError(RangeError, 'ERR_FS_FILE_TOO_LARGE', `File size (${size}) is greater than 2 GiB`);
    }
    if (size === 0) return this.#readToEnd(fd);
    const buffer = new Uint8Array(size);
    let done = 0;
    for (let n = 1; n > 0 && done < size; done += n) n = this.read(fd, buffer, done, size - done, -1);
    return buffer.subarray(0, done);
  }

  #readToEnd(fd: number): Uint8Array {
    let buffer = new Uint8Array(0);
    for (;;) {
      const block = new Uint8Array(BLOCK);
      const n = this.read(fd, block, 0, BLOCK, -1);
      if (n === 0) return buffer;
      const joined = new Uint8Array(buffer.length + n);
      joined.set(buffer);
      joined.set(block.subarray(0, n), buffer.length);
      buffer = joined;
    }
  }

  #open(path: v.FsPath, flags: number, mode: number): number {
    return this.#context.check(this.#context.open(path, flags, mode), 'open', path);
  }

  #encode(text: string, encoding: unknown): Uint8Array {
    if (encoding && !v.isEncoding(encoding)) throw wrongValue('encoding', encoding, 'is invalid encoding');
    return this.#context.encoding.encode(text, String(encoding || 'utf8'));
  }

  #pread(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    const { process: proc } = this.#context;
    return position >= 0 ? proc.pread(fd, buffer, offset, length, position) : proc.read(fd, buffer, offset, length);
  }

  #pwrite(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    const { process: proc } = this.#context;
    // A directory is never open for writing.
    if (proc.directory(fd) !== undefined) return -EBADF;
    return position >= 0 ? proc.pwrite(fd, buffer, offset, length, position) : proc.write(fd, buffer, offset, length);
  }

  #call(syscall: string, outcome: number): number {
    return this.#context.check(outcome, syscall);
  }
}

interface Transfer {
  readonly offset: unknown;
  readonly length: unknown;
  readonly position: unknown;
}

/** read(fd, buffer, options), or offset, length and position one by one. */
function readArguments(buffer: Uint8Array, rest: readonly unknown[]): Transfer {
  const [first, length, position] = rest;
  if (rest.length > 1 && typeof first !== 'object') return { offset: first, length, position };
  const options = first === undefined || first === null ? {} : v.object(first, 'options');
  const { offset = 0 } = options;
  return { offset, length: options['length'] ?? buffer.length - Number(offset), position: options['position'] };
}

function writeArguments(buffer: Uint8Array, rest: readonly unknown[]): Transfer {
  const [first, length, position] = rest;
  if (typeof first !== 'object' || first === null) return { offset: first, length, position };
  const { offset = 0, length: size, position: at } = first as v.Options;
  return { offset, length: size ?? buffer.length - Number(offset), position: at };
}

/** A place to read at; −1 = the file's own position. */
function readPosition(position: unknown): number {
  if (position === undefined || position === null) return -1;
  if (typeof position === 'number') return v.integer(position, 'position', -1);
  if (typeof position !== 'bigint') throw wrongType('position', 'of type bigint or integer', position);
  if (position < MIN_INT64 || position > MAX_INT64) {
    throw outOfRange('position', `>= ${MIN_INT64} && <= ${MAX_INT64}`, position);
  }
  return position < 0n ? -1 : Number(position);
}

/** Writing takes numbers only; whatever else means the file's own position. */
function writePosition(position: unknown): number {
  return typeof position === 'number' && Number.isSafeInteger(position) ? position : -1;
}
