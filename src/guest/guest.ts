/**
 * A mounted tree, as programs use it: synchronous system calls with POSIX's meaning and node:fs's shapes. Everything
 * inside returns an errno; here it becomes an exception.
 */
import { type ByteString, textOfBytes } from '../base/bytes.ts';
import { ECONNREFUSED, EEXIST, EISDIR, ENOENT, ENOTDIR, type Errno, OK } from '../wire/errno.ts';
import { O_APPEND, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, RENAME_EXCHANGE, RENAME_NOREPLACE } from '../wire/mode.ts';
import { bytePosition, openFlags, type PathLike, type TimeLike, timeChange } from './arguments.ts';
import { accessPath, chmodInode, chownInode, statfsPath, statPath, truncatePath, utimensInode } from './attr-calls.ts';
import type { Channel } from './channel.ts';
import { type GuestStats, requestsByName } from './counters.ts';
import type { Credentials } from './credentials.ts';
import { FsError, pathText } from './errors.ts';
import type { Inode } from './inode.ts';
import { Mount } from './mount.ts';
import { pathBytes, realPath } from './namei.ts';
import { openDirectory, openPath } from './open-calls.ts';
import { Directory } from './open-dir.ts';
import { File } from './open-file.ts';
import type { MountOptions } from './options.ts';
import { linkPath, mkdirPath, mknodPath, renamePath, rmdirPath, symlinkPath, unlinkPath } from './path-calls.ts';
import { Process } from './process.ts';
import type { ProcessMemory } from './shared-process.ts';
import { type DirectoryEntry, type StatFs, Stats } from './stats.ts';
import type { Window } from './window.ts';

const encoder = new TextEncoder();

export interface WriteFileOptions {
  /** Permission bits of a new file; default 0o666, less the umask. */
  readonly mode?: number;
}

export class Guest {
  /** The inside, for layers above: processes, façades. */
  readonly mount: Mount;
  readonly #cwd: Inode;

  /** Called by `mountOver`, which sends INIT. */
  constructor(mount: Mount) {
    this.mount = mount;
    this.#cwd = mount.inodes.root;
  }

  /** Opens a file. `flags` as in node:fs ('r', 'w+', …) or O_* bits. */
  open(path: PathLike, flags: string | number = 'r', mode = 0o666): File {
    const file = openPath(this.mount, this.#cwd, pathBytes(path), openFlags(flags), mode);
    if (typeof file === 'number') throw new FsError(file, 'open', pathText(path));
    return new File(file, pathText(path));
  }

  readFile(path: PathLike): Uint8Array<ArrayBuffer>;
  readFile(path: PathLike, encoding: 'utf8'): string;
  readFile(path: PathLike, encoding?: 'utf8'): Uint8Array<ArrayBuffer> | string {
    const data = this.#readAll(path);
    return encoding === undefined ? data : new TextDecoder().decode(data);
  }

  writeFile(path: PathLike, data: string | Uint8Array, options: WriteFileOptions = {}): void {
    this.#write(path, data, O_WRONLY | O_CREAT | O_TRUNC, options.mode);
  }

  appendFile(path: PathLike, data: string | Uint8Array, options: WriteFileOptions = {}): void {
    this.#write(path, data, O_WRONLY | O_CREAT | O_APPEND, options.mode);
  }

  stat(path: PathLike): Stats {
    this.#check(statPath(this.mount, this.#cwd, pathBytes(path), true), 'stat', path);
    return new Stats(this.mount.namei.inode);
  }

  lstat(path: PathLike): Stats {
    this.#check(statPath(this.mount, this.#cwd, pathBytes(path), false), 'lstat', path);
    return new Stats(this.mount.namei.inode);
  }

  exists(path: PathLike): boolean {
    return this.mount.namei.resolve(this.#cwd, pathBytes(path), true) === OK;
  }

  /** access(2); `mask` is 4 read + 2 write + 1 execute, 0 = exists. */
  access(path: PathLike, mask = 0): void {
    this.#check(accessPath(this.mount, this.#cwd, pathBytes(path), mask), 'access', path);
  }

  opendir(path: PathLike): Directory {
    const directory = openDirectory(this.mount, this.#cwd, pathBytes(path));
    if (typeof directory === 'number') throw new FsError(directory, 'opendir', pathText(path));
    return new Directory(directory, pathText(path));
  }

  readdir(path: PathLike): string[];
  readdir(path: PathLike, options: { readonly withTypes: true }): DirectoryEntry[];
  readdir(path: PathLike, options: { readonly withTypes?: boolean } = {}): string[] | DirectoryEntry[] {
    const directory = openDirectory(this.mount, this.#cwd, pathBytes(path));
    if (typeof directory === 'number') throw new FsError(directory, 'scandir', pathText(path));
    const entries = [...new Directory(directory, pathText(path))];
    return options.withTypes === true ? entries : entries.map((entry) => entry.name);
  }

  mkdir(path: PathLike, options: { readonly mode?: number; readonly recursive?: boolean } = {}): void {
    const mode = options.mode ?? 0o777;
    const errno = options.recursive
      ? this.#mkdirAll(pathBytes(path), mode)
      : mkdirPath(this.mount, this.#cwd, pathBytes(path), mode);
    this.#check(errno, 'mkdir', path);
  }

  rmdir(path: PathLike): void {
    this.#check(rmdirPath(this.mount, this.#cwd, pathBytes(path)), 'rmdir', path);
  }

  unlink(path: PathLike): void {
    this.#check(unlinkPath(this.mount, this.#cwd, pathBytes(path)), 'unlink', path);
  }

  /** `noReplace` fails with EEXIST if the new name is taken; `exchange` swaps the two. */
  rename(
    path: PathLike,
    newPath: PathLike,
    options: { readonly noReplace?: boolean; readonly exchange?: boolean } = {},
  ): void {
    const flags = (options.noReplace ? RENAME_NOREPLACE : 0) | (options.exchange ? RENAME_EXCHANGE : 0);
    const cwd = this.#cwd;
    this.#check2(renamePath(this.mount, cwd, pathBytes(path), cwd, pathBytes(newPath), flags), 'rename', path, newPath);
  }

  link(path: PathLike, newPath: PathLike): void {
    const cwd = this.#cwd;
    this.#check2(linkPath(this.mount, cwd, pathBytes(path), cwd, pathBytes(newPath)), 'link', path, newPath);
  }

  symlink(target: PathLike, path: PathLike): void {
    const errno = symlinkPath(this.mount, pathBytes(target), this.#cwd, pathBytes(path));
    this.#check2(errno, 'symlink', target, path);
  }

  /** Creates a fifo, a socket, or (the default) an empty regular file; `mode` includes the S_IFMT bits. */
  mknod(path: PathLike, mode: number, rdev = 0): void {
    this.#check(mknodPath(this.mount, this.#cwd, pathBytes(path), mode, rdev), 'mknod', path);
  }

  readlink(path: PathLike): string {
    const target = this.#readlink(path);
    if (typeof target !== 'string') throw new FsError(target, 'readlink', pathText(path));
    return textOfBytes(target);
  }

  realpath(path: PathLike): string {
    const found = realPath(this.mount.namei, this.#cwd, pathBytes(path));
    if (typeof found !== 'string') throw new FsError(found, 'realpath', pathText(path));
    return textOfBytes(found);
  }

  chmod(path: PathLike, mode: number): void {
    const inode = this.#find(path, true, 'chmod');
    this.#check(chmodInode(this.mount, inode, mode), 'chmod', path);
  }

  /** −1 leaves an id as it is. */
  chown(path: PathLike, uid: number, gid: number): void {
    const inode = this.#find(path, true, 'chown');
    this.#check(chownInode(this.mount, inode, uid, gid), 'chown', path);
  }

  lchown(path: PathLike, uid: number, gid: number): void {
    const inode = this.#find(path, false, 'lchown');
    this.#check(chownInode(this.mount, inode, uid, gid), 'lchown', path);
  }

  utimens(path: PathLike, atime: TimeLike, mtime: TimeLike): void {
    const inode = this.#find(path, true, 'utime');
    this.#check(utimensInode(this.mount, inode, timeChange(atime), timeChange(mtime)), 'utime', path);
  }

  lutimens(path: PathLike, atime: TimeLike, mtime: TimeLike): void {
    const inode = this.#find(path, false, 'lutime');
    this.#check(utimensInode(this.mount, inode, timeChange(atime), timeChange(mtime)), 'lutime', path);
  }

  truncate(path: PathLike, size: number | bigint = 0): void {
    const errno = truncatePath(this.mount, this.#cwd, pathBytes(path), bytePosition('size', size));
    this.#check(errno, 'truncate', path);
  }

  /** Copies a whole file on the host if it can, else by reading and writing. */
  copyFile(path: PathLike, newPath: PathLike): void {
    const source = this.open(path, O_RDONLY);
    try {
      const target = this.open(newPath, O_WRONLY | O_CREAT | O_TRUNC, source.stat().mode & 0o7777);
      try {
        copyAll(source, target);
      } finally {
        target.close();
      }
    } finally {
      source.close();
    }
  }

  /** copy_file_range(2) between two open files. */
  copyFileRange(
    from: File,
    position: number | bigint,
    to: File,
    toPosition: number | bigint,
    length: number | bigint,
  ): number {
    return from.copyTo(to, position, toPosition, length);
  }

  statfs(path: PathLike = '/'): StatFs {
    const found = statfsPath(this.mount, this.#cwd, pathBytes(path));
    if (typeof found === 'number') throw new FsError(found, 'statfs', pathText(path));
    return found;
  }

  fsync(file: File): void {
    file.sync();
  }

  /** syncfs(2): everything anybody wrote is on the host's storage afterwards. */
  sync(): void {
    this.#check(this.mount.sync(), 'sync', '/');
  }

  /** A process of this guest, with descriptors, a working directory and credentials of its own. */
  spawn(who: Partial<Credentials> = {}): Process {
    return new Process(this.mount, { ...this.mount.task.credentials, ...who });
  }

  /**
   * Makes this worker a thread of a process that another CPU of the guest shares: `process.share()` there, posted here.
   * Throws EAGAIN when the process has as many threads as it may.
   */
  join(memory: ProcessMemory): Process {
    return Process.join(this.mount, memory);
  }

  /** What this guest has done so far. */
  get stats(): GuestStats {
    const { counters: c, inodes, dentries, dax } = this.mount;
    return {
      requests: requestsByName(c),
      requestCount: c.requests.reduce((sum, count) => sum + count, 0),
      forgets: c.forgets,
      mappings: {
        setUp: c.mappingsSetUp,
        upgraded: c.mappingsUpgraded,
        removed: c.mappingsRemoved,
        reclaimed: c.mappingsReclaimed,
        removalsFailed: c.removalsFailed,
        ahead: c.mappedAhead,
        stalls: c.mappingStalls,
        reclaimPasses: c.reclaimPasses,
        reclaimedEarly: c.rangesReclaimedEarly,
      },
      allocation: {
        by: dax?.allocation,
        fallbacks: c.allocationFallbacks,
        recalls: c.recalls,
        recalled: c.rangesRecalled,
        givenBack: c.rangesGivenBack,
        pinned: c.rangesPinned,
      },
      faults: dax?.window.faults ?? 0,
      bytes: {
        readDax: c.bytesReadDax,
        writtenDax: c.bytesWrittenDax,
        readFuse: c.bytesReadFuse,
        writtenFuse: c.bytesWrittenFuse,
        readCached: c.bytesReadCached,
        writtenCached: c.bytesWrittenCached,
      },
      views: { open: this.mount.viewCount, leaked: c.leakedViews },
      cached: { inodes: inodes.count, dentries: dentries.count },
    };
  }

  /** Forgets every name and file that is not in use, and tells the host. */
  dropCaches(): void {
    this.mount.dropCaches();
  }

  /** Closes what is still open and leaves the host. A second call does nothing. */
  unmount(): void {
    this.mount.unmount();
  }

  [Symbol.dispose](): void {
    this.unmount();
  }

  #write(path: PathLike, data: string | Uint8Array, flags: number, mode = 0o666): void {
    const file = this.open(path, flags, mode);
    try {
      file.writeAll(typeof data === 'string' ? encoder.encode(data) : data);
    } finally {
      file.close();
    }
  }

  #readAll(path: PathLike): Uint8Array<ArrayBuffer> {
    const file = this.open(path, O_RDONLY);
    try {
      if (file.stat().isDirectory()) throw new FsError(EISDIR, 'read', pathText(path));
      return file.readAll();
    } finally {
      file.close();
    }
  }

  #readlink(path: PathLike): ByteString | Errno {
    const { namei } = this.mount;
    const errno = namei.resolve(this.#cwd, pathBytes(path), false);
    return errno === OK ? namei.readlink(namei.inode) : errno;
  }

  #mkdirAll(path: ByteString, mode: number): Errno {
    const errno = mkdirPath(this.mount, this.#cwd, path, mode);
    if (errno === EEXIST) {
      const { namei } = this.mount;
      const found = namei.resolve(this.#cwd, path, true);
      return found !== OK ? found : namei.inode.isDirectory ? OK : EEXIST;
    }
    if (errno !== ENOENT) return errno;
    const end = path.replace(/\/+$/, '').lastIndexOf('/');
    if (end <= 0) return errno;
    const parent = this.#mkdirAll(path.slice(0, end) as ByteString, mode);
    if (parent === EEXIST) return ENOTDIR;
    return parent === OK ? mkdirPath(this.mount, this.#cwd, path, mode) : parent;
  }

  #find(path: PathLike, follow: boolean, syscall: string): Inode {
    this.#check(this.mount.namei.resolve(this.#cwd, pathBytes(path), follow), syscall, path);
    return this.mount.namei.inode;
  }

  #check(errno: Errno, syscall: string, path: PathLike): void {
    if (errno !== OK) throw new FsError(errno, syscall, pathText(path));
  }

  #check2(errno: Errno, syscall: string, path: PathLike, dest: PathLike): void {
    if (errno !== OK) throw new FsError(errno, syscall, pathText(path), pathText(dest));
  }
}

function copyAll(source: File, target: File): void {
  for (let pos = 0; ; ) {
    const n = source.copyTo(target, pos, pos, Math.max(1, source.stat().size - pos));
    if (n === 0) return;
    pos += n;
  }
}

/**
 * Mounts the tree that the host shows over `channel`. Throws TypeError or RangeError for wrong options, FsError
 * (ECONNREFUSED, with the reason in its message) when the host and this guest do not agree.
 */
export function mountOver(channel: Channel, window: Window | undefined, options: MountOptions): Guest {
  const mount = new Mount(channel, window, options);
  if (mount.session.init() !== OK) {
    const error = new FsError(ECONNREFUSED, 'mount');
    error.message += `: ${mount.session.why}`;
    throw error;
  }
  return new Guest(mount);
}
