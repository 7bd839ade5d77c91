/** Directories as wholes: readdir, opendir, rm and rmdir. */
import type { ByteString } from '../../base/bytes.ts';
import { arrayOfBytes } from '../../base/bytes.ts';
import type { OpenDirectory } from '../../guest/directory.ts';
import { AT_FDCWD } from '../../guest/process.ts';
import { EISDIR, ENOENT } from '../../wire/errno.ts';
import * as m from '../../wire/mode.ts';
import type { Context } from './context.ts';
import { Dir } from './dir.ts';
import { systemError } from './errors.ts';
import type { NameCalls } from './name-calls.ts';
import { below, join } from './paths.ts';
import { Dirent, UV_DIRENT, uvType } from './stats.ts';
import * as v from './validate.ts';

export interface Entry {
  readonly name: ByteString;
  /** UV_DIRENT_* */
  readonly type: number;
}

interface RemoveOptions {
  readonly recursive: boolean;
  readonly force: boolean;
  readonly retryDelay: number;
  readonly maxRetries: number;
}

const REMOVE_DEFAULTS: v.Options = { recursive: false, force: false, retryDelay: 100, maxRetries: 0 };
const RETRIED: ReadonlySet<string> = new Set(['EBUSY', 'EMFILE', 'ENFILE', 'ENOTEMPTY', 'EPERM']);
const NOT_EMPTY: ReadonlySet<string> = new Set(['ENOTEMPTY', 'EEXIST', 'EPERM']);

export class DirCalls {
  readonly #context: Context;
  readonly #names: NameCalls;

  constructor(context: Context, names: NameCalls) {
    this.#context = context;
    this.#names = names;
  }

  readdirSync(pathLike: unknown, given?: unknown): unknown[] {
    return this.list(pathLike, given, false);
  }

  /** `lastFirst`: the order of Node's promise form, which goes down the directory it saw last. */
  list(pathLike: unknown, given: unknown, lastFirst: boolean): unknown[] {
    const options = v.optionsOf(given);
    const path = v.pathArgument(pathLike);
    const { recursive } = options;
    if (recursive !== undefined && recursive !== null) v.boolean(recursive, 'options.recursive');
    const { encoding, withFileTypes } = options;
    if (recursive) return this.#listAll(String(this.#context.pathText(path)), options, lastFirst);
    const entries = this.entries(path);
    if (!withFileTypes) return entries.map(({ name }) => this.#context.name(name, encoding));
    return entries.map((entry) => this.dirent(entry, path, encoding));
  }

  opendirSync(pathLike: unknown, given?: unknown): Dir {
    return this.open(pathLike, given, false);
  }

  /** Node's synchronous form says no path when it fails, the others do. */
  open(pathLike: unknown, given: unknown, saysPath: boolean): Dir {
    const path = v.pathArgument(pathLike);
    const options = v.optionsOf(given, { encoding: 'utf8' });
    const { bufferSize = 32 } = options;
    const fd = this.#context.open(path, m.O_RDONLY | m.O_DIRECTORY, 0);
    if (fd < 0) throw this.#context.error(-fd, 'opendir', saysPath ? path : undefined);
    try {
      v.uint32(bufferSize, 'options.bufferSize', 1);
    } catch (error) {
      this.#context.process.close(fd);
      throw error;
    }
    return new Dir(this.#context, this, fd, path, options);
  }

  /** All entries, sorted by bytes as libuv does. */
  entries(path: v.FsPath): Entry[] {
    const { process: proc } = this.#context;
    const fd = this.#context.open(path, m.O_RDONLY | m.O_DIRECTORY, 0);
    if (fd < 0) throw this.#context.error(-fd, 'scandir', path);
    try {
      const entries: Entry[] = [];
      const directory = proc.directory(fd) as OpenDirectory;
      for (let entry = this.next(directory); entry !== undefined; entry = this.next(directory)) {
        if (typeof entry === 'number') throw this.#context.error(entry, 'scandir', path);
        entries.push(entry);
      }
      return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    } finally {
      proc.close(fd);
    }
  }

  /** The next entry, undefined at the end, or an errno. */
  next(directory: OpenDirectory): Entry | undefined | number {
    for (;;) {
      const outcome = this.#context.process.as(() => directory.next());
      if (outcome <= 0) return outcome === 0 ? undefined : -outcome;
      const { name, type } = directory;
      if (name !== '.' && name !== '..') return { name, type: uvType(type) };
    }
  }

  dirent({ name, type }: Entry, path: v.FsPath, encoding: unknown): Dirent {
    const shown = this.#context.name(name, encoding);
    if (type !== UV_DIRENT.UNKNOWN) return new Dirent(shown, type, path);
    const inode = this.#context.process.fstatat(AT_FDCWD, childBytes(v.bytesOfPath(path), name), false);
    if (typeof inode === 'number') throw this.#context.error(inode, 'lstat', join(String(path), String(shown)));
    return new Dirent(shown, uvType(m.modeToType(inode.mode)), path);
  }

  rmSync(pathLike: unknown, given?: unknown): void {
    this.rm(pathLike, given, false);
  }

  /** `looksFirst`: the asynchronous forms do in any case. */
  rm(pathLike: unknown, given: unknown, looksFirst: boolean): void {
    const path = v.pathArgument(pathLike);
    const options = removeOptions(given);
    if (looksFirst || !options.force || !options.recursive) {
      const stats = this.#names.lstatSync(path, { throwIfNoEntry: !options.force });
      if (stats?.isDirectory() === true && !options.recursive) {
        const info = {
          code: 'EISDIR',
          message: 'is a directory',
          path: this.#text(path),
          syscall: 'rm',
          errno: EISDIR,
        };
        throw systemError('ERR_FS_EISDIR', 'Path is a directory', info);
      }
    }
    this.#remove(path, options);
  }

  rmdirSync(pathLike: unknown, given?: unknown): void {
    const path = v.pathArgument(pathLike);
    const isRecursive = Boolean((given as v.Options | null | undefined)?.['recursive']);
    const options = removeOptions(given);
    if (isRecursive && this.#names.lstatSync(path)?.isDirectory() === true) this.#remove(path, options);
    else this.#names.removeDirectory(path);
  }

  #text(path: v.FsPath): string {
    return this.#context.pathText(path);
  }

  #listAll(top: string, options: v.Options, lastFirst: boolean): unknown[] {
    const { encoding, withFileTypes } = options;
    const root = this.#context.resolve(top);
    const found: unknown[] = [];
    const queue = [{ path: top, entries: this.entries(top) }];
    for (let at = queue.shift(); at !== undefined; at = lastFirst ? queue.pop() : queue.shift()) {
      for (const entry of at.entries) {
        const child = join(at.path, String(this.#context.name(entry.name, 'utf8')));
        if (withFileTypes) found.push(this.dirent(entry, at.path, encoding));
        else found.push(below(root, this.#context.resolve(child)));
        const isDirectory = withFileTypes ? (found.at(-1) as Dirent).isDirectory() : this.#isDirectory(child);
        if (isDirectory) queue.push({ path: child, entries: this.entries(child) });
      }
    }
    return found;
  }

  #isDirectory(path: string): boolean {
    const inode = this.#context.process.fstatat(AT_FDCWD, v.bytesOfPath(path), true);
    return typeof inode !== 'number' && inode.isDirectory;
  }

  #remove(path: v.FsPath, options: RemoveOptions): void {
    const inode = this.#context.process.fstatat(AT_FDCWD, v.bytesOfPath(path), false);
    if (inode === ENOENT) return;
    // What cannot be looked at is left to unlink to complain of, as in Node.
    if (typeof inode !== 'number' && inode.isDirectory) this.#removeTree(path, options);
    else this.#retry(options, () => this.#names.unlinkSync(path));
  }

  #removeTree(path: v.FsPath, options: RemoveOptions): void {
    try {
      this.#names.removeDirectory(path);
      return;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT') return;
      if (!NOT_EMPTY.has(code)) throw error;
    }
    for (const { name } of this.entries(path)) {
      this.#remove(arrayOfBytes(childBytes(v.bytesOfPath(path), name)), options);
    }
    this.#retry(options, () => this.#names.removeDirectory(path));
  }

  /** Tries again, later and later, after errors that may pass. */
  #retry({ maxRetries, retryDelay }: RemoveOptions, call: () => void): void {
    for (let i = 1; ; i++) {
      try {
        call();
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code === 'ENOENT') return;
        if (i > maxRetries || !RETRIED.has(code)) throw error;
        this.#context.platform.sleep(i * retryDelay);
      }
    }
  }
}

function removeOptions(given: unknown): RemoveOptions {
  const options = given === undefined ? {} : v.object(given, 'options');
  // A property that is there counts, even as undefined.
  const { recursive, force, retryDelay, maxRetries } = { ...REMOVE_DEFAULTS, ...options };
  return {
    recursive: v.boolean(recursive, 'options.recursive'),
    retryDelay: v.int32(retryDelay, 'options.retryDelay', 0),
    maxRetries: v.uint32(maxRetries, 'options.maxRetries'),
    force: v.boolean(force, 'options.force'),
  };
}

function childBytes(parent: ByteString, name: ByteString): ByteString {
  return `${parent}${parent.endsWith('/') ? '' : '/'}${name}` as ByteString;
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? '';
}
