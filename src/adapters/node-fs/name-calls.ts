/** node:fs by path. Everything synchronous; the other forms are made from it. */
import { type ByteString, textOfBytes } from '../../base/bytes.ts';
import type { Inode } from '../../guest/inode.ts';
import { AT_FDCWD } from '../../guest/process.ts';
import { EACCES, EEXIST, EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTSUP, EPERM, type Errno, OK } from '../../wire/errno.ts';
import * as m from '../../wire/mode.ts';
import type { Context } from './context.ts';
import { codedError } from './errors.ts';
import { resolve } from './paths.ts';
import { type BigIntStats, type Stats, statFsOf, statsOf } from './stats.ts';
import * as v from './validate.ts';

const SYMLINK_TYPES: ReadonlySet<unknown> = new Set(['dir', 'file', 'junction']);
const COPY_EXCL = 1;
const COPY_FICLONE_FORCE = 4;
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
const TEMP_TRIES = 100;
const COPY_BLOCK = 1 << 20;

export class NameCalls {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  accessSync(pathLike: unknown, mode?: unknown): void {
    const path = v.pathArgument(pathLike);
    const mask = v.smallMode(mode);
    this.#call('access', path, this.#process.faccessat(AT_FDCWD, v.bytesOfPath(path), mask));
  }

  /** Throws for nothing, as in Node. */
  existsSync(pathLike?: unknown): boolean {
    try {
      return this.#process.faccessat(AT_FDCWD, v.bytesOfPath(v.pathArgument(pathLike)), 0) === 0;
    } catch {
      return false;
    }
  }

  statSync(pathLike: unknown, options?: unknown): Stats | BigIntStats | undefined {
    return this.#stat(v.pathArgument(pathLike), options, true);
  }

  lstatSync(pathLike: unknown, options?: unknown): Stats | BigIntStats | undefined {
    return this.#stat(v.pathArgument(pathLike), options, false);
  }

  statfsSync(pathLike: unknown, options?: unknown): object {
    const path = v.pathArgument(pathLike);
    const found = this.#process.statfs(v.bytesOfPath(path));
    if (typeof found === 'number') throw this.#context.error(found, 'statfs', path);
    return statFsOf(found, (options as v.Options | undefined)?.['bigint'] === true);
  }

  mkdirSync(pathLike: unknown, options?: unknown): string | undefined {
    return this.mkdir(pathLike, options, false);
  }

  /** `saysWhich`: the asynchronous forms name the directory that could not be made, not the one that was asked for. */
  mkdir(pathLike: unknown, options: unknown, saysWhich: boolean): string | undefined {
    const given: v.Options = typeof options === 'object' && options !== null ? (options as v.Options) : {};
    const isMode = typeof options === 'number' || typeof options === 'string';
    const mode = isMode ? options : (given['mode'] ?? 0o777);
    const path = v.pathArgument(pathLike);
    const { recursive = false } = given;
    const isRecursive = v.boolean(recursive, 'options.recursive');
    const bits = v.fileMode(mode);
    if (isRecursive) return this.#mkdirAll(path, bits, saysWhich);
    this.#call('mkdir', path, this.#process.mkdirat(AT_FDCWD, v.bytesOfPath(path), bits));
    return undefined;
  }

  mkdtempSync(prefixLike: unknown, given?: unknown): string | Uint8Array {
    const options = v.optionsOf(given);
    const prefix = v.bytesOfPath(v.pathArgument(prefixLike, 'prefix'));
    let outcome = -EEXIST as number;
    for (let i = 0; i < TEMP_TRIES && outcome === -EEXIST; i++) {
      const path = `${prefix}${this.#letters(6)}` as ByteString;
      outcome = this.#process.mkdirat(AT_FDCWD, path, 0o700);
      if (outcome === 0) return this.#context.name(path, options['encoding']);
    }
    throw this.#context.error(-outcome, 'mkdtemp', `${textOfBytes(prefix)}${'X'.repeat(6)}`);
  }

  readlinkSync(pathLike: unknown, given?: unknown): string | Uint8Array {
    const options = v.optionsOf(given);
    const path = v.pathArgument(pathLike, 'oldPath');
    const target = this.#process.readlinkat(AT_FDCWD, v.bytesOfPath(path));
    if (typeof target === 'number') throw this.#context.error(target, 'readlink', path);
    return this.#context.name(target, options['encoding']);
  }

  /** realpath(3), which `realpath.native` and the promise form are. */
  nativeRealpath(pathLike: unknown, given?: unknown): string | Uint8Array {
    const options = v.optionsOf(given);
    const path = v.pathArgument(pathLike);
    const found = this.#process.realpath(v.bytesOfPath(path));
    if (typeof found === 'number') throw this.#context.error(found, 'realpath', path);
    return this.#context.name(found, options['encoding']);
  }

  /** Node's own walk: it fails with lstat's or stat's words, and "a/.." is "." whatever a is. */
  realpathSync(pathLike: unknown, given?: unknown): string | Uint8Array {
    const options = v.optionsOf(given);
    const isPath = typeof pathLike === 'object' && pathLike !== null && 'href' in pathLike;
    const path = v.pathArgument(isPath ? pathLike : `${this.#text(pathLike)}`);
    const found = this.#walk(this.#context.resolve(String(path)));
    const { encoding } = this.#context;
    const wanted = options['encoding'];
    return !wanted || wanted === 'utf8' ? found : encoding.decode(encoding.encode(found, 'utf8'), wanted);
  }

  renameSync(oldLike: unknown, newLike: unknown): void {
    const from = v.pathArgument(oldLike, 'oldPath');
    const to = v.pathArgument(newLike, 'newPath');
    this.#call('rename', from, this.#process.renameat(AT_FDCWD, v.bytesOfPath(from), AT_FDCWD, v.bytesOfPath(to)), to);
  }

  linkSync(oldLike: unknown, newLike: unknown): void {
    const from = v.pathArgument(oldLike, 'existingPath');
    const to = v.pathArgument(newLike, 'newPath');
    this.#call('link', from, this.#process.linkat(AT_FDCWD, v.bytesOfPath(from), AT_FDCWD, v.bytesOfPath(to)), to);
  }

  symlinkSync(targetLike: unknown, pathLike: unknown, type?: unknown): void {
    const target = v.pathArgument(targetLike, 'target');
    const path = v.pathArgument(pathLike);
    if (typeof type === 'string' && !SYMLINK_TYPES.has(type)) {
      const message = `Symlink type must be one of "dir", "file", or "junction". Received "${type}"`;
      throw codedError(Error, 'ERR_FS_INVALID_SYMLINK_TYPE', message);
    }
    this.#call('symlink', target, this.#process.symlinkat(v.bytesOfPath(target), AT_FDCWD, v.bytesOfPath(path)), path);
  }

  unlinkSync(pathLike: unknown): void {
    const path = v.pathArgument(pathLike);
    this.#call('unlink', path, this.#process.unlinkat(AT_FDCWD, v.bytesOfPath(path), false));
  }

  /** rmdir(2); removing what is inside is for the caller. */
  removeDirectory(path: v.FsPath): void {
    this.#call('rmdir', path, this.#process.unlinkat(AT_FDCWD, v.bytesOfPath(path), true));
  }

  truncateSync(path: unknown, len: unknown = 0): void {
    if (v.isDescriptor(path)) {
      const size = Math.max(0, v.integer(len, 'len'));
      this.#context.check(this.#process.ftruncate(v.descriptor(path), size), 'ftruncate');
      return;
    }
    const target = v.pathArgument(path);
    const fd = this.#context.check(this.#context.open(target, m.O_RDWR, 0), 'open', target);
    try {
      const size = Math.max(0, v.integer(len, 'len'));
      this.#context.check(this.#process.ftruncate(fd, size), 'ftruncate');
    } finally {
      this.#process.close(fd);
    }
  }

  chmodSync(pathLike: unknown, mode?: unknown): void {
    const path = v.pathArgument(pathLike);
    const bits = v.fileMode(mode);
    this.#call('chmod', path, this.#process.fchmodat(AT_FDCWD, v.bytesOfPath(path), bits));
  }

  chownSync(pathLike: unknown, uid?: unknown, gid?: unknown): void {
    this.#chown('chown', v.pathArgument(pathLike), uid, gid, true);
  }

  lchownSync(pathLike: unknown, uid?: unknown, gid?: unknown): void {
    this.#chown('lchown', v.pathArgument(pathLike), uid, gid, false);
  }

  utimesSync(pathLike: unknown, atime?: unknown, mtime?: unknown): void {
    this.#utimes('utime', v.pathArgument(pathLike), atime, mtime, true);
  }

  lutimesSync(pathLike: unknown, atime?: unknown, mtime?: unknown): void {
    this.#utimes('lutime', v.pathArgument(pathLike), atime, mtime, false);
  }

  copyFileSync(srcLike: unknown, destLike: unknown, mode?: unknown): void {
    const src = v.pathArgument(srcLike, 'src');
    const dest = v.pathArgument(destLike, 'dest');
    const bits = v.smallMode(mode);
    const errno = this.#copy(src, dest, bits);
    if (errno !== OK) throw this.#context.error(errno, 'copyfile', src, dest);
  }

  get #process() {
    return this.#context.process;
  }

  #text(path: unknown): unknown {
    return path instanceof Uint8Array ? this.#context.encoding.text(path, 'utf8') : path;
  }

  #call(syscall: string, path: v.FsPath, outcome: number, dest?: v.FsPath): void {
    this.#context.check(outcome, syscall, path, dest);
  }

  #stat(path: v.FsPath, given: unknown, follow: boolean): Stats | BigIntStats | undefined {
    const options = (given ?? {}) as v.Options;
    const inode = this.#process.fstatat(AT_FDCWD, v.bytesOfPath(path), follow);
    if (typeof inode !== 'number') return statsOf(inode, options['bigint'] === true);
    if (options['throwIfNoEntry'] === false && inode === ENOENT) return undefined;
    throw this.#context.error(inode, follow ? 'stat' : 'lstat', path);
  }

  /** SPEC: Node, MKDirpSync and MKDirpAsync: from the end up to what exists, and down again. */
  #mkdirAll(path: v.FsPath, mode: number, saysWhich: boolean): string | undefined {
    const queue = [v.bytesOfPath(path)];
    let first: ByteString | undefined;
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const errno = -this.#process.mkdirat(AT_FDCWD, next, mode) as Errno;
      const end = next.lastIndexOf('/');
      if (errno === OK) first ??= next;
      else if (errno === ENOENT && end >= 0) queue.push(next, next.slice(0, end) as ByteString);
      else if (errno !== ENOENT || queue.length === 0) {
        const failed = this.#whyNot(next, errno, queue.length > 0, saysWhich);
        const shown = saysWhich ? String(this.#context.name(next, 'utf8')) : path;
        if (failed !== OK) throw this.#context.error(failed, 'mkdir', shown);
      }
    }
    return first === undefined ? undefined : String(this.#context.name(first, 'utf8'));
  }

  /** Why the recursive form cannot go on; OK if the directory is there already. */
  #whyNot(path: ByteString, errno: Errno, isParent: boolean, isAsync: boolean): Errno {
    if (errno === EACCES || errno === ENOSPC || errno === ENOTDIR || errno === EPERM || errno === ENOENT) return errno;
    const inode = this.#process.fstatat(AT_FDCWD, path, true);
    if (typeof inode !== 'number' && inode.isDirectory) return OK;
    if (errno === EEXIST && isParent && (isAsync || typeof inode !== 'number')) return ENOTDIR;
    return typeof inode === 'number' ? inode : EEXIST;
  }

  #walk(start: string): string {
    let path = start;
    const targets = new Map<number, string>();
    const plain = new Set<string>();
    for (let pos = 1; pos < path.length; ) {
      const slash = path.indexOf('/', pos);
      const end = slash < 0 ? path.length : slash;
      const base = path.slice(0, end);
      const previous = path.slice(0, pos);
      pos = end + 1;
      if (plain.has(base)) continue;
      const inode = this.#find(base, false, 'lstat');
      if (!inode.isSymlink) {
        plain.add(base);
        continue;
      }
      const { ino } = inode;
      const target = targets.get(ino) ?? this.#target(base);
      targets.set(ino, target);
      path = resolve(previous, target, path.slice(pos));
      pos = 1;
    }
    return path;
  }

  #target(link: string): string {
    this.#find(link, true, 'stat');
    return String(this.readlinkSync(link));
  }

  #find(path: string, follow: boolean, syscall: string): Inode {
    const inode = this.#process.fstatat(AT_FDCWD, v.bytesOfPath(path), follow);
    if (typeof inode === 'number') throw this.#context.error(inode, syscall, path);
    return inode;
  }

  #letters(count: number): string {
    return Array.from(
      { length: count },
      () => LETTERS[Math.floor(this.#context.platform.random() * LETTERS.length)],
    ).join('');
  }

  #chown(syscall: string, path: v.FsPath, uid: unknown, gid: unknown, follow: boolean): void {
    const [owner, group] = [v.ownerId(uid, 'uid'), v.ownerId(gid, 'gid')];
    this.#call(syscall, path, this.#process.fchownat(AT_FDCWD, v.bytesOfPath(path), owner, group, follow));
  }

  #utimes(syscall: string, path: v.FsPath, atime: unknown, mtime: unknown, follow: boolean): void {
    const { now } = this.#context.platform;
    const [a, b] = [v.timeOfSeconds(v.seconds(atime, now)), v.timeOfSeconds(v.seconds(mtime, now))];
    this.#call(syscall, path, this.#process.utimensat(AT_FDCWD, v.bytesOfPath(path), a, b, follow));
  }

  /**
   * SPEC: libuv, uv__fs_copyfile. Unlike there a target that was there is not removed when the copy fails, and is not
   * touched by the copy of a directory, which always fails.
   */
  #copy(src: v.FsPath, dest: v.FsPath, mode: number): Errno {
    const { process: proc } = this.#context;
    const from = this.#context.open(src, m.O_RDONLY, 0);
    if (from < 0) return -from as Errno;
    try {
      const inode = proc.fstat(from);
      if (typeof inode === 'number') return inode;
      const isNew = typeof proc.fstatat(AT_FDCWD, v.bytesOfPath(dest), true) === 'number';
      const flags = m.O_WRONLY | m.O_CREAT | ((mode & COPY_EXCL) !== 0 ? m.O_EXCL : 0);
      const to = this.#context.open(dest, flags, inode.mode & 0o7777);
      if (to < 0) return -to as Errno;
      const errno = this.#copyTo(from, to, inode, mode);
      proc.close(to);
      if (errno !== OK && isNew) proc.unlinkat(AT_FDCWD, v.bytesOfPath(dest), false);
      return errno;
    } finally {
      proc.close(from);
    }
  }

  #copyTo(from: number, to: number, inode: Inode, mode: number): Errno {
    if (this.#process.fstat(to) === inode) return OK;
    if (inode.isDirectory) return EISDIR;
    return (mode & COPY_FICLONE_FORCE) !== 0 ? ENOTSUP : this.#copyData(from, to, inode);
  }

  #copyData(from: number, to: number, inode: Inode): Errno {
    const { process: proc } = this.#context;
    const cut = proc.ftruncate(to, 0);
    const prepared = cut < 0 ? cut : proc.fchmod(to, inode.mode & 0o7777);
    if (prepared < 0) return -prepared as Errno;
    for (let pos = 0; ; ) {
      const n = proc.copyFileRange(from, pos, to, pos, COPY_BLOCK);
      if (n <= 0) return -n as Errno;
      pos += n;
    }
  }
}
