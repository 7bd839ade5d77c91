/**
 * The callback forms, made from the synchronous ones: the call is made at once, the callback is called in a later turn,
 * in the order of the calls. A wrong argument is thrown to the caller, as in Node; what a system call came to is told.
 */
import type { Context } from './context.ts';
import { isOutcome } from './errors.ts';
import * as v from './validate.ts';

type Call = (...args: unknown[]) => unknown;
type Callback = (...args: unknown[]) => void;

/** Arguments before the callback: the least, and the most. */
export const ARGUMENTS = {
  access: [1, 2],
  appendFile: [2, 3],
  chmod: [2, 2],
  chown: [3, 3],
  close: [1, 1],
  copyFile: [2, 3],
  cp: [2, 3],
  fchmod: [2, 2],
  fchown: [3, 3],
  fdatasync: [1, 1],
  fstat: [1, 2],
  fsync: [1, 1],
  ftruncate: [1, 2],
  futimes: [3, 3],
  lchown: [3, 3],
  link: [2, 2],
  lstat: [1, 2],
  lutimes: [3, 3],
  mkdir: [1, 2],
  mkdtemp: [1, 2],
  open: [1, 3],
  opendir: [1, 2],
  read: [1, 5],
  readFile: [1, 2],
  readdir: [1, 2],
  readlink: [1, 2],
  readv: [2, 3],
  realpath: [1, 2],
  rename: [2, 2],
  rm: [1, 2],
  rmdir: [1, 2],
  stat: [1, 2],
  statfs: [1, 2],
  symlink: [2, 3],
  truncate: [1, 2],
  unlink: [1, 1],
  utimes: [3, 3],
  write: [2, 5],
  writeFile: [2, 3],
  writev: [2, 3],
} as const satisfies Readonly<Record<string, readonly [least: number, most: number]>>;

export type CallbackName = keyof typeof ARGUMENTS;

/** What else a callback is given, after error and result: the names are what util.promisify puts together. */
const SECOND: Readonly<Partial<Record<CallbackName, readonly [first: string, second: string]>>> = {
  read: ['bytesRead', 'buffer'],
  readv: ['bytesRead', 'buffers'],
  write: ['bytesWritten', 'buffer'],
  writev: ['bytesWritten', 'buffer'],
};

const DEFAULT_READ_SIZE = 16384;

export function callbackForm(context: Context, name: CallbackName, call: Call): Call {
  const [least, most] = ARGUMENTS[name];
  const form = (...args: unknown[]): void => {
    const at = args.findIndex((arg, i) => i >= least && i <= most && typeof arg === 'function');
    const isClose = name === 'close' && args[most] === undefined;
    const callback = isClose ? rethrow : v.callback(args[at < 0 ? most : at], name === 'opendir' ? 'callback' : 'cb');
    const given = args.slice(0, at < 0 ? most : at);
    settle(context, callback, call, name === 'read' ? withBuffer(context, given) : given, name);
  };
  const pair = SECOND[name];
  // util.promisify(read) gives both, as an object.
  return pair === undefined ? form : Object.assign(form, { [PROMISIFY]: promisified(form, pair) });
}

/** Known to everybody by this name, which is how util.promisify finds it. */
const PROMISIFY = Symbol.for('nodejs.util.promisify.custom');

function settle(context: Context, callback: Callback, call: Call, args: unknown[], name: CallbackName): void {
  const { later } = context.platform;
  try {
    const result = call(...args);
    if (result instanceof Promise) {
      result.then(
        () => later(() => callback(null)),
        (error) => later(() => callback(error)),
      );
      return;
    }
    later(() => callback(null, ...(result === undefined ? [] : [result]), ...second(name, args)));
  } catch (error) {
    if (!isOutcome(error)) throw error;
    later(() => callback(error, ...(name in SECOND ? [0, ...second(name, args)] : [])));
  }
}

function second(name: CallbackName, args: readonly unknown[]): unknown[] {
  return name in SECOND ? [args[1]] : [];
}

/** read(fd, callback) and read(fd, options, callback) bring no buffer of their own. */
function withBuffer(context: Context, [fd, first, ...rest]: unknown[]): unknown[] {
  if (ArrayBuffer.isView(first)) return [fd, first, ...rest];
  const options = first === undefined || first === null ? {} : v.object(first, 'options');
  const { buffer = context.encoding.buffer(new Uint8Array(DEFAULT_READ_SIZE)), ...others } = options;
  return [fd, buffer, others];
}

function promisified(form: Call, [first, second]: readonly [string, string]): Call {
  return (...args) =>
    new Promise((settled, fail) => {
      form(...args, (error: unknown, a: unknown, b: unknown) => {
        if (error) fail(error);
        else settled({ [first]: a, [second]: b });
      });
    });
}

function rethrow(error?: unknown): void {
  if (error !== null && error !== undefined) throw error;
}
