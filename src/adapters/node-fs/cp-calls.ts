/** cp: copies trees, with Node's rules about what may replace what. */
import { EEXIST, EINVAL, EISDIR, ENOTDIR } from '../../wire/errno.ts';
import type { Context } from './context.ts';
import type { DirCalls } from './dir-calls.ts';
import { codedError, systemError, wrongType } from './errors.ts';
import type { NameCalls } from './name-calls.ts';
import { dirname, join } from './paths.ts';
import type { BigIntStats, Stats } from './stats.ts';
import * as v from './validate.ts';

type AnyStats = Stats | BigIntStats;

interface CopyOptions {
  readonly dereference: boolean;
  readonly errorOnExist: boolean;
  readonly filter: ((src: string, dest: string) => unknown) | undefined;
  readonly force: boolean;
  readonly mode: number;
  readonly preserveTimestamps: boolean;
  readonly recursive: boolean;
  readonly verbatimSymlinks: boolean;
  /** What Node's two forms do not agree on. */
  readonly isAsync: boolean;
}

export class CpCalls {
  readonly #context: Context;
  readonly #names: NameCalls;
  readonly #dirs: DirCalls;

  constructor(context: Context, names: NameCalls, dirs: DirCalls) {
    this.#context = context;
    this.#names = names;
    this.#dirs = dirs;
  }

  cpSync(srcLike: unknown, destLike: unknown, given?: unknown): void {
    const { src, dest, options } = this.#arguments(srcLike, destLike, given, false);
    if (!this.#passes(options, src, dest)) return;
    this.#start(src, dest, options);
  }

  /** As cpSync, with a filter that may answer with a promise. */
  async cp(srcLike: unknown, destLike: unknown, given?: unknown): Promise<void> {
    const { src, dest, options } = this.#arguments(srcLike, destLike, given, true);
    const { filter } = options;
    if (filter === undefined) return this.#start(src, dest, options);
    const refused = new Set<string>();
    if (!(await filter(src, dest))) return;
    // Asked ahead of the copy, over the same tree: the copy itself is one synchronous run.
    await this.#ask(src, dest, options, filter, refused);
    this.#start(src, dest, { ...options, filter: (from) => !refused.has(from) });
  }

  #arguments(srcLike: unknown, destLike: unknown, given: unknown, isAsync: boolean) {
    const options = { ...copyOptions(given), isAsync };
    const src = String(this.#context.pathText(v.pathArgument(srcLike, 'src')));
    const dest = String(this.#context.pathText(v.pathArgument(destLike, 'dest')));
    return { src, dest, options };
  }

  async #ask(
    src: string,
    dest: string,
    options: CopyOptions,
    filter: (src: string, dest: string) => unknown,
    refused: Set<string>,
  ): Promise<void> {
    if (!options.recursive || this.#stat(src, options, false)?.isDirectory() !== true) return;
    for (const { name } of this.#dirs.entries(src)) {
      const [from, to] = this.#children(src, dest, name);
      if (await filter(from, to)) await this.#ask(from, to, options, filter, refused);
      else refused.add(from);
    }
  }

  #start(src: string, dest: string, options: CopyOptions): void {
    const { from, to } = this.#check(src, dest, options);
    this.#checkParents(src, from, dest);
    const parent = dirname(dest);
    if (!this.#names.existsSync(parent)) this.#names.mkdirSync(parent, { recursive: true });
    this.#copy(from, to, src, dest, options);
  }

  #passes({ filter }: CopyOptions, src: string, dest: string): boolean {
    const answer = filter?.(src, dest) ?? filter === undefined;
    if (typeof answer === 'object' && answer !== null && 'then' in answer) {
      const message = 'Expected boolean to be returned from the "filter" function but got an instance of Promise.';
      throw codedError(TypeError, 'ERR_INVALID_RETURN_VALUE', message);
    }
    return Boolean(answer);
  }

  #check(src: string, dest: string, options: CopyOptions): { from: AnyStats; to: AnyStats | undefined } {
    const from = this.#stat(src, options, true) as AnyStats;
    const to = this.#stat(dest, options, false);
    if (to !== undefined) {
      if (isSame(from, to)) throw invalid('src and dest cannot be the same', dest);
      if (from.isDirectory() && !to.isDirectory()) {
        const message = `cannot overwrite non-directory ${dest} with directory ${src}`;
        const info = { message, path: dest, syscall: 'cp', errno: EISDIR, code: 'EISDIR' };
        throw systemError('ERR_FS_CP_DIR_TO_NON_DIR', 'Cannot overwrite non-directory with directory', info);
      }
      if (!from.isDirectory() && to.isDirectory()) {
        const message = `cannot overwrite directory ${dest} with non-directory ${src}`;
        const info = { message, path: dest, syscall: 'cp', errno: ENOTDIR, code: 'ENOTDIR' };
        throw systemError('ERR_FS_CP_NON_DIR_TO_DIR', 'Cannot overwrite directory with non-directory', info);
      }
    }
    if (from.isDirectory() && this.#isInside(src, dest)) {
      throw invalid(`cannot copy ${src} to a subdirectory of self ${dest}`, dest);
    }
    return { from, to };
  }

  #checkParents(src: string, from: AnyStats, dest: string): void {
    const top = this.#context.resolve(dirname(src));
    let parent = this.#context.resolve(dirname(dest));
    for (let child = dest; parent !== top && parent !== '/'; child = parent, parent = dirname(parent)) {
      const stats = this.#names.statSync(parent, { bigint: true, throwIfNoEntry: false });
      if (stats === undefined) return;
      if (isSame(from, stats)) throw invalid(`cannot copy ${src} to a subdirectory of self ${child}`, child);
    }
  }

  #copy(from: AnyStats, to: AnyStats | undefined, src: string, dest: string, options: CopyOptions): void {
    if (from.isDirectory()) this.#copyDirectory(from, to, src, dest, options);
    else if (from.isSymbolicLink()) this.#copyLink(to, src, dest, options);
    else if (from.isFile()) this.#copyFile(from, to, src, dest, options);
    else this.#refuse(from, dest);
  }

  #refuse(from: AnyStats, dest: string): void {
    const what = from.isSocket() ? 'a socket file' : from.isFIFO() ? 'a FIFO pipe' : 'an unknown file type';
    const code = from.isSocket() ? 'SOCKET' : from.isFIFO() ? 'FIFO_PIPE' : 'UNKNOWN';
    const info = { message: `cannot copy ${what}: ${dest}`, path: dest, syscall: 'cp', errno: EINVAL, code: 'EINVAL' };
    throw systemError(`ERR_FS_CP_${code}`, `Cannot copy ${what}`, info);
  }

  #copyFile(from: AnyStats, to: AnyStats | undefined, src: string, dest: string, options: CopyOptions): void {
    if (to !== undefined) {
      if (!options.force) {
        if (!options.errorOnExist) return;
        const info = { message: `${dest} already exists`, path: dest, syscall: 'cp', errno: EEXIST, code: 'EEXIST' };
        throw systemError('ERR_FS_CP_EEXIST', 'Target already exists', info);
      }
      this.#names.unlinkSync(dest);
    }
    this.#names.copyFileSync(src, dest, options.mode);
    if (options.preserveTimestamps) {
      const stats = this.#names.statSync(src) as unknown as { atime: Date; mtime: Date };
      this.#names.utimesSync(dest, stats.atime, stats.mtime);
    }
    this.#names.chmodSync(dest, Number(from.mode));
  }

  #copyDirectory(from: AnyStats, to: AnyStats | undefined, src: string, dest: string, options: CopyOptions): void {
    if (!options.recursive) {
      const message = `${src} is a directory (not copied)`;
      const info = { message, path: src, syscall: 'cp', errno: options.isAsync ? EISDIR : EINVAL, code: 'EISDIR' };
      throw systemError('ERR_FS_EISDIR', 'Path is a directory', info);
    }
    if (to === undefined) this.#names.mkdirSync(dest);
    for (const { name } of this.#dirs.entries(src)) {
      const [childSrc, childDest] = this.#children(src, dest, name);
      if (!this.#passes(options, childSrc, childDest)) continue;
      const child = this.#check(childSrc, childDest, options);
      this.#copy(child.from, child.to, childSrc, childDest, options);
    }
    if (to === undefined) this.#names.chmodSync(dest, Number(from.mode));
  }

  #copyLink(to: AnyStats | undefined, src: string, dest: string, options: CopyOptions): void {
    let target = String(this.#names.readlinkSync(src));
    if (!options.verbatimSymlinks && !target.startsWith('/')) target = this.#context.resolve(dirname(src), target);
    // What is no link makes symlink fail, as it shall.
    if (to === undefined || !to.isSymbolicLink()) {
      this.#names.symlinkSync(target, dest);
      return;
    }
    const before = this.#context.resolve(dirname(dest), String(this.#names.readlinkSync(dest)));
    if (this.#isInside(target, before))
      throw invalid(`cannot copy ${target} to a subdirectory of self ${before}`, dest);
    if (this.#names.statSync(dest)?.isDirectory() === true && this.#isInside(before, target)) {
      const message = `cannot overwrite ${before} with ${target}`;
      const info = { message, path: dest, syscall: 'cp', errno: EINVAL, code: 'EINVAL' };
      const prefix = 'Cannot overwrite symlink in subdirectory of self';
      throw systemError('ERR_FS_CP_SYMLINK_TO_SUBDIRECTORY', prefix, info);
    }
    this.#names.unlinkSync(dest);
    this.#names.symlinkSync(target, dest);
  }

  #stat(path: string, { dereference }: CopyOptions, throwIfNoEntry: boolean): AnyStats | undefined {
    const options = { bigint: true, throwIfNoEntry };
    return dereference ? this.#names.statSync(path, options) : this.#names.lstatSync(path, options);
  }

  #children(src: string, dest: string, name: Parameters<Context['name']>[0]): [src: string, dest: string] {
    const text = String(this.#context.name(name, 'utf8'));
    return [join(src, text), join(dest, text)];
  }

  /** Whether `path` is `parent` or lies in it. */
  #isInside(parent: string, path: string): boolean {
    const outer = this.#context.resolve(parent).split('/').filter(Boolean);
    const inner = this.#context.resolve(path).split('/').filter(Boolean);
    return outer.every((part, i) => inner[i] === part);
  }
}

function isSame(a: AnyStats, b: AnyStats): boolean {
  const [one, other] = [a, b] as unknown as [{ ino: bigint; dev: bigint }, { ino: bigint; dev: bigint }];
  return one.ino === other.ino && one.dev === other.dev;
}

function invalid(message: string, path: string): Error {
  const info = { message, path, syscall: 'cp', errno: EINVAL, code: 'EINVAL' };
  return systemError('ERR_FS_CP_EINVAL', 'Invalid src or dest', info);
}

function copyOptions(given: unknown): Omit<CopyOptions, 'isAsync'> {
  const options = given === undefined ? {} : v.object(given, 'options');
  const flag = (name: string, otherwise: boolean): boolean => {
    return v.boolean(options[name] === undefined && !(name in options) ? otherwise : options[name], `options.${name}`);
  };
  const dereference = flag('dereference', false);
  const errorOnExist = flag('errorOnExist', false);
  const force = flag('force', true);
  const preserveTimestamps = flag('preserveTimestamps', false);
  const recursive = flag('recursive', false);
  const verbatimSymlinks = flag('verbatimSymlinks', false);
  const mode = v.integer(options['mode'] ?? 0, 'mode', 0, 7);
  if (dereference && verbatimSymlinks) {
    const message = 'Option "dereference" cannot be used in combination with option "verbatimSymlinks"';
    throw codedError(TypeError, 'ERR_INCOMPATIBLE_OPTION_PAIR', message);
  }
  const { filter } = options;
  if (filter !== undefined && typeof filter !== 'function') {
    throw wrongType('options.filter', 'of type function', filter);
  }
  const kept = filter as CopyOptions['filter'];
  return { dereference, errorOnExist, filter: kept, force, mode, preserveTimestamps, recursive, verbatimSymlinks };
}
