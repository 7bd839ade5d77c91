/** node:fs over a process of a guest. Every function may be taken off the object and called alone. */
import type { Process } from '../../guest/process.ts';
import { ARGUMENTS, type CallbackName, callbackForm } from './callbacks.ts';
import { constants } from './constants.ts';
import { Context } from './context.ts';
import { CpCalls } from './cp-calls.ts';
import { Dir } from './dir.ts';
import { DirCalls } from './dir-calls.ts';
import { FileCalls } from './file-calls.ts';
import { FileHandle } from './file-handle.ts';
import { NameCalls } from './name-calls.ts';
import { missing, type Platform, type StreamClass } from './platform.ts';
import { type Parts, promiseForms } from './promises.ts';
import { Dirent, Stats } from './stats.ts';
import * as v from './validate.ts';
import { Watching } from './watch.ts';

type Call = (...args: unknown[]) => unknown;

export interface FacadeOptions {
  /** How often `watch` looks; default 100. */
  readonly watchIntervalMs?: number;
}

const WATCH_MS = 100;

export function facade(process: Process, platform: Platform, options: FacadeOptions = {}) {
  const context = new Context(process, platform);
  const files = new FileCalls(context);
  const names = new NameCalls(context);
  const dirs = new DirCalls(context, names);
  const cp = new CpCalls(context, names, dirs);
  const watching = new Watching(context, names, dirs, options.watchIntervalMs ?? WATCH_MS);
  const sync = {
    ...bound(files, FILE_CALLS),
    ...bound(names, NAME_CALLS),
    ...bound(dirs, DIR_CALLS),
    ...bound(cp, ['cpSync']),
  };
  const realpath = { native: (path: unknown, given?: unknown) => names.nativeRealpath(path, given) };
  const inTurn = { ...sync, ...asynchronousOnly(files, names, dirs, cp) };
  const asynchronous = callbackForms(context, inTurn);
  const readNative = callbackForm(context, 'realpath', realpath.native as Call);
  const streams = streamForms(platform, { ...sync, ...asynchronous });
  const parts: Parts = { context, files, names, dirs, cp, watching, streams };
  const promises = promiseForms(parts, inTurn);
  return {
    ...asynchronous,
    ...sync,
    realpath: Object.assign(asynchronous.realpath, { native: readNative }),
    realpathSync: Object.assign(sync.realpathSync, realpath),
    exists: existsForm(context, names),
    openAsBlob: (path: unknown, given?: v.Options) => openAsBlob(context, files, path, given),
    createReadStream: (path: unknown, given?: unknown) => new streams.ReadStream(path, given as object),
    createWriteStream: (path: unknown, given?: unknown) => new streams.WriteStream(path, given as object),
    watch: (...args: unknown[]) => watching.watch(args[0], args[1], args[2]),
    watchFile: (...args: unknown[]) => watching.watchFile(args[0], args[1], args[2]),
    unwatchFile: (...args: unknown[]) => watching.unwatchFile(args[0], args[1]),
    // As on Linux.
    lchmod: undefined,
    lchmodSync: undefined,
    _toUnixTimestamp: (time: unknown, name?: string) => v.seconds(time, platform.now, name),
    Dir,
    Dirent,
    Stats,
    ReadStream: streams.ReadStream,
    WriteStream: streams.WriteStream,
    FileReadStream: streams.ReadStream,
    FileWriteStream: streams.WriteStream,
    F_OK: constants.F_OK,
    R_OK: constants.R_OK,
    W_OK: constants.W_OK,
    X_OK: constants.X_OK,
    constants,
    promises,
  };
}

const FILE_CALLS = [
  ...(['openSync', 'closeSync', 'readSync', 'readvSync', 'writeSync', 'writevSync', 'ftruncateSync'] as const),
  ...(['fsyncSync', 'fdatasyncSync', 'fstatSync', 'fchmodSync', 'fchownSync', 'futimesSync'] as const),
  ...(['readFileSync', 'writeFileSync', 'appendFileSync'] as const),
] as const;
const NAME_CALLS = [
  ...(['accessSync', 'existsSync', 'statSync', 'lstatSync', 'statfsSync', 'mkdirSync', 'mkdtempSync'] as const),
  ...(['readlinkSync', 'realpathSync', 'renameSync', 'linkSync', 'symlinkSync', 'unlinkSync'] as const),
  ...(['truncateSync', 'chmodSync', 'chownSync', 'lchownSync', 'utimesSync', 'lutimesSync', 'copyFileSync'] as const),
] as const;
const DIR_CALLS = ['readdirSync', 'opendirSync', 'rmSync', 'rmdirSync'] as const;

function bound<T extends object, K extends keyof T>(calls: T, names: readonly K[]): Record<K, Call> {
  const entries = names.map((name) => {
    const call = (calls[name] as Call).bind(calls);
    Object.defineProperty(call, 'name', { value: name });
    return [name, call];
  });
  return Object.fromEntries(entries) as Record<K, Call>;
}

function callbackForms(context: Context, sync: Readonly<Record<`${CallbackName}Sync`, Call>>) {
  const entries = (Object.keys(ARGUMENTS) as CallbackName[]).map((name) => {
    const form = callbackForm(context, name, sync[`${name}Sync`]);
    Object.defineProperty(form, 'name', { value: name });
    return [name, form];
  });
  return Object.fromEntries(entries) as Record<CallbackName, Call>;
}

/** Where Node's asynchronous forms are not its synchronous ones, only later. */
function asynchronousOnly(files: FileCalls, names: NameCalls, dirs: DirCalls, cp: CpCalls) {
  const statOptions = (given: unknown) => ({ bigint: (given as v.Options | null | undefined)?.['bigint'] === true });
  return {
    statSync: (path: unknown, given?: unknown) => names.statSync(path, statOptions(given)),
    lstatSync: (path: unknown, given?: unknown) => names.lstatSync(path, statOptions(given)),
    mkdirSync: (path: unknown, given?: unknown) => names.mkdir(path, given, true),
    opendirSync: (path: unknown, given?: unknown) => dirs.open(path, given, true),
    rmSync: (path: unknown, given?: unknown) => dirs.rm(path, given, true),
    cpSync: (src: unknown, dest: unknown, given?: unknown) => cp.cp(src, dest, given),
    writeFileSync: (path: unknown, data: unknown, given?: unknown) => files.writeFile(path, data, given, true),
    appendFileSync: (path: unknown, data: unknown, given?: unknown) => files.appendFile(path, data, given, true),
  };
}

function existsForm(context: Context, names: NameCalls): Call {
  const exists = (path: unknown, callback: unknown): void => {
    const tell = v.callback(callback);
    const found = names.existsSync(path);
    context.platform.later(() => tell(found));
  };
  const promised = (path: unknown) => new Promise((settled) => exists(path, settled));
  return Object.assign(exists as Call, { [Symbol.for('nodejs.util.promisify.custom')]: promised });
}

/** A copy of the file as it is now. */
function openAsBlob(context: Context, files: FileCalls, path: unknown, given: v.Options = {}): Promise<Blob> {
  const type = String(v.object(given, 'options')['type'] ?? '');
  return context.settle(() => new Blob([Uint8Array.from(files.readFileSync(path) as Uint8Array)], { type }));
}

/** Node's own stream classes, told to use these calls. */
function streamForms(platform: Platform, calls: Readonly<Record<string, Call>>) {
  const ReadStream = over('ReadStream', platform.ReadStream, calls);
  const WriteStream = over('WriteStream', platform.WriteStream, calls);
  return {
    ReadStream,
    WriteStream,
    readStream: (options: object) => new ReadStream(undefined, options),
    writeStream: (options: object) => new WriteStream(undefined, options),
  };
}

function over(name: string, Base: StreamClass | undefined, calls: Readonly<Record<string, Call>>): StreamClass {
  if (Base === undefined) {
    return class {
      constructor() {
        throw missing(name);
      }
    };
  }
  const Made = class extends Base {
    constructor(path: unknown, given: unknown) {
      const options = v.optionsOf(given);
      const { fd } = options;
      if (!(fd instanceof FileHandle)) {
        super(path, { fs: calls, ...options });
        return;
      }
      const close = (_: unknown, done: (error?: unknown) => void): void => {
        fd.close().then(() => done(null), done);
      };
      super(path, { ...options, fd: fd.fd, fs: { ...calls, close } });
      fd.once('close', () => (this as unknown as { close(): void }).close());
    }
  };
  Object.defineProperty(Made, 'name', { value: name });
  return Made;
}
