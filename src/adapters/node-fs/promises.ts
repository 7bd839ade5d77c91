/** fs.promises, made from the synchronous calls: each is made at once, and its promise settles in a later turn. */

import { constants } from './constants.ts';
import type { Context } from './context.ts';
import type { CpCalls } from './cp-calls.ts';
import type { DirCalls } from './dir-calls.ts';
import { codedError } from './errors.ts';
import type { FileCalls } from './file-calls.ts';
import { FileHandle, type Streams } from './file-handle.ts';
import type { NameCalls } from './name-calls.ts';
import * as v from './validate.ts';
import type { Watching } from './watch.ts';

type Call = (...args: unknown[]) => unknown;
type Promised = (...args: unknown[]) => Promise<unknown>;

/** Those that are their synchronous forms and nothing else. */
const SAME = [
  'access',
  'chmod',
  'chown',
  'copyFile',
  'lchown',
  'link',
  'lstat',
  'lutimes',
  'mkdir',
  'mkdtemp',
  'readlink',
  'rename',
  'rm',
  'rmdir',
  'stat',
  'statfs',
  'symlink',
  'truncate',
  'unlink',
  'utimes',
] as const;

export interface Parts {
  readonly context: Context;
  readonly files: FileCalls;
  readonly names: NameCalls;
  readonly dirs: DirCalls;
  readonly cp: CpCalls;
  readonly watching: Watching;
  readonly streams: Streams;
}

export function promiseForms(parts: Parts, sync: Readonly<Record<`${(typeof SAME)[number]}Sync`, Call>>) {
  const { context, files, names, dirs, cp, watching } = parts;
  const promised = (call: Call): Promised => {
    return (...args) => context.settle(() => call(...args));
  };
  const same = Object.fromEntries(SAME.map((name) => [name, promised(sync[`${name}Sync`])]));
  return {
    ...(same as Record<(typeof SAME)[number], Promised>),
    open: promised((path, flags, mode) => openHandle(parts, path, flags, mode)),
    opendir: promised((path, options) => dirs.open(path, options, true)),
    readdir: promised((path, options) => dirs.list(path, options, true)),
    realpath: promised((path, options) => names.nativeRealpath(path, options)),
    lchmod: promised(() => {
      throw codedError(Error, 'ERR_METHOD_NOT_IMPLEMENTED', `The lchmod() method is not ${'implemented'}`);
    }),
    cp: (src: unknown, dest: unknown, options?: unknown) => cp.cp(src, dest, options),
    readFile: promised((path, options) => {
      // Descriptors are for the other forms.
      return path instanceof FileHandle ? path.readFile(options) : files.readFileSync(v.pathArgument(path), options);
    }),
    writeFile: (path: unknown, data: unknown, options?: unknown) => writeFile(parts, path, data, options, 'w'),
    appendFile: (path: unknown, data: unknown, options?: unknown) => writeFile(parts, path, data, options, 'a'),
    watch: (path: unknown, options?: unknown) => watching.iterate(path, options),
    constants,
  };
}

function openHandle({ context, files, streams }: Parts, path: unknown, flags: unknown, mode: unknown): FileHandle {
  return new FileHandle(context, files, streams, files.openSync(path, flags, mode));
}

async function writeFile(parts: Parts, path: unknown, data: unknown, given: unknown, flag: string): Promise<void> {
  const { context, files } = parts;
  const options = v.optionsOf(given, { encoding: 'utf8', mode: 0o666, flag, flush: false });
  const flush = v.boolean(options['flush'] ?? false, 'options.flush');
  if (!isIterable(data) && !ArrayBuffer.isView(data)) v.checkIsText(data, 'data');
  if (path instanceof FileHandle) return path.writeFile(data, options);
  v.checkNotAborted(options);
  const fd = await context.settle(() =>
    files.openSync(v.pathArgument(path), options['flag'] || flag, options['mode'] ?? 0o666),
  );
  try {
    await writeAll(context, files, fd, data, options);
    if (flush) files.fsyncSync(fd);
  } finally {
    files.closeSync(fd);
  }
}

/** Writes text, bytes, or all that an iterable gives, from the position on. */
export async function writeAll(
  context: Context,
  files: FileCalls,
  fd: number,
  data: unknown,
  options: v.Options,
): Promise<void> {
  const encoding = String(options['encoding'] || 'utf8');
  const bytesOf = (part: unknown): Uint8Array =>
    ArrayBuffer.isView(part) ? v.viewBytes(part) : context.encoding.encode(v.checkIsText(part, 'data'), encoding);
  v.checkNotAborted(options);
  for await (const part of isIterable(data) ? data : [data]) {
    v.checkNotAborted(options);
    const bytes = bytesOf(part);
    await context.settle(() => {
      for (let done = 0; done < bytes.length; ) done += files.write(fd, bytes, done, bytes.length - done, -1);
    });
  }
}

function isIterable(data: unknown): data is Iterable<unknown> | AsyncIterable<unknown> {
  if (typeof data !== 'object' || data === null || ArrayBuffer.isView(data)) return false;
  return Symbol.iterator in data || Symbol.asyncIterator in data;
}
