/**
 * watch and watchFile. A guest hears of what others change only when it runs, so a timer looks: each time at names and
 * attributes as the guest's caches have them. The host's notifications make just those doubtful that others changed, so
 * looking costs requests only for what changed or expired. What comes and goes between two looks is not seen, and many
 * changes between two looks are one event.
 */
import { arrayOfBytes, type ByteString } from '../../base/bytes.ts';
import type { Inode } from '../../guest/inode.ts';
import { AT_FDCWD } from '../../guest/process.ts';
import type { Context } from './context.ts';
import type { DirCalls } from './dir-calls.ts';
import { abortError } from './errors.ts';
import type { NameCalls } from './name-calls.ts';
import { basename } from './paths.ts';
import { type Emitter, missing, type Timer } from './platform.ts';
import { type BigIntStats, noStats, type Stats } from './stats.ts';
import * as v from './validate.ts';

type Tell = (event: 'rename' | 'change', name: ByteString) => void;
type AnyStats = Stats | BigIntStats;
export type Watcher = Emitter & { close(): void; ref(): Watcher; unref(): Watcher };

interface FileWatch {
  readonly emitter: Emitter;
  readonly timer: Timer;
}

const SLOW_MS = 5007;

export class Watching {
  readonly #context: Context;
  readonly #names: NameCalls;
  readonly #dirs: DirCalls;
  readonly #intervalMs: number;
  readonly #files = new Map<string, FileWatch>();

  constructor(context: Context, names: NameCalls, dirs: DirCalls, intervalMs: number) {
    this.#context = context;
    this.#names = names;
    this.#dirs = dirs;
    this.#intervalMs = intervalMs;
  }

  watch(pathLike: unknown, given?: unknown, last?: unknown): Watcher {
    const listener = typeof given === 'function' ? given : last;
    const options = v.optionsOf(given);
    const path = v.pathArgument(pathLike);
    const emitter = this.#emitter();
    const look = new Look(this.#context, this.#dirs, path, options['recursive'] === true);
    const { encoding, signal } = options as { encoding?: unknown; signal?: AbortSignal };
    const tell: Tell = (event, name) => emitter.emit('change', event, this.#context.name(name, encoding));
    const timer = this.#context.platform.every(this.#intervalMs, () => look.again(tell));
    if (options['persistent'] === false) timer.unref();
    let isOpen = true;
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      timer.stop();
      signal?.removeEventListener('abort', close);
      this.#context.platform.later(() => emitter.emit('close'));
    };
    const watcher: Watcher = Object.assign(emitter, {
      close,
      ref: (): Watcher => {
        timer.ref();
        return watcher;
      },
      unref: (): Watcher => {
        timer.unref();
        return watcher;
      },
    });
    if (typeof listener === 'function') emitter.on('change', listener as () => void);
    if (signal?.aborted === true) close();
    else signal?.addEventListener('abort', close);
    return watcher;
  }

  /** fs.promises.watch: the same events, one after another, until the signal ends it. */
  async *iterate(path: unknown, given: unknown = {}): AsyncGenerator<{ eventType: unknown; filename: unknown }> {
    const options = v.optionsOf(given === undefined ? {} : v.object(given, 'options'));
    const signal = options['signal'] as AbortSignal | undefined;
    v.checkNotAborted(options);
    const events: { eventType: unknown; filename: unknown }[] = [];
    let wake = (): void => {};
    const wakeUp = (): void => wake();
    const { signal: _, ...rest } = options;
    const watcher = this.watch(path, rest, (eventType: unknown, filename: unknown) => {
      events.push({ eventType, filename });
      wakeUp();
    });
    signal?.addEventListener('abort', wakeUp);
    try {
      for (;;) {
        if (signal?.aborted === true) throw abortError(signal);
        const event = events.shift();
        if (event !== undefined) yield event;
        else {
          await new Promise<void>((settled) => {
            wake = settled;
          });
        }
      }
    } finally {
      signal?.removeEventListener('abort', wakeUp);
      watcher.close();
    }
  }

  watchFile(pathLike: unknown, given?: unknown, last?: unknown): Emitter {
    const path = this.#context.resolve(String(this.#context.pathText(v.pathArgument(pathLike))));
    const isOptions = typeof given === 'object' && given !== null;
    const listener = v.callback(isOptions ? last : given, 'listener');
    const options = { interval: SLOW_MS, persistent: true, bigint: false, ...(isOptions ? given : {}) };
    const found = this.#files.get(path) ?? this.#watchFile(path, options);
    this.#files.set(path, found);
    found.emitter.on('change', listener);
    return found.emitter;
  }

  unwatchFile(pathLike: unknown, listener?: unknown): void {
    const path = this.#context.resolve(String(this.#context.pathText(v.pathArgument(pathLike))));
    const found = this.#files.get(path);
    if (found === undefined) return;
    if (typeof listener === 'function') found.emitter.removeListener('change', listener as () => void);
    else found.emitter.removeAllListeners('change');
    if (found.emitter.listenerCount('change') > 0) return;
    found.timer.stop();
    this.#files.delete(path);
  }

  #watchFile(path: string, options: { interval: number; persistent: boolean; bigint: boolean }): FileWatch {
    const emitter = this.#emitter();
    const isBigint = options.bigint === true;
    const stat = (): AnyStats => {
      try {
        return this.#names.statSync(path, { bigint: isBigint, throwIfNoEntry: false }) ?? noStats(isBigint);
      } catch {
        return noStats(isBigint);
      }
    };
    let before = stat();
    // As Node: a file that is not there is told once, so that its watcher knows.
    if (Number(before.mode) === 0) this.#context.platform.later(() => emitter.emit('change', before, before));
    const timer = this.#context.platform.every(Number(options.interval), () => {
      const now = stat();
      if (isSame(now, before)) return;
      emitter.emit('change', now, before);
      before = now;
    });
    if (options.persistent === false) timer.unref();
    return { emitter, timer };
  }

  #emitter(): Emitter {
    const { EventEmitter } = this.#context.platform;
    if (EventEmitter === undefined) throw missing('EventEmitter');
    return new EventEmitter();
  }
}

/** What was seen of a file or directory at the last look. */
class Look {
  readonly #context: Context;
  readonly #dirs: DirCalls;
  readonly #path: v.FsPath;
  readonly #isRecursive: boolean;
  /** Names inside, by what they looked like; a file has itself. */
  #seen = new Map<ByteString, string>();
  readonly #inside = new Map<ByteString, Look>();
  #own: string;
  /** Listed since the last change: times are not fine enough to tell what came in the same millisecond. */
  #isSettled = false;
  #isOver = false;

  constructor(context: Context, dirs: DirCalls, path: v.FsPath, isRecursive: boolean) {
    this.#context = context;
    this.#dirs = dirs;
    this.#path = path;
    this.#isRecursive = isRecursive;
    const inode = this.#find(v.bytesOfPath(path));
    if (typeof inode === 'number') {
      const error = context.error(inode, 'watch', path);
      throw Object.assign(error, { filename: context.pathText(path) });
    }
    this.#own = contentOf(inode);
    if (inode.isDirectory) this.#list(() => {});
  }

  again(tell: Tell): void {
    if (this.#isOver) return;
    const inode = this.#find(v.bytesOfPath(this.#path));
    if (typeof inode === 'number') {
      this.#isOver = true;
      tell('rename', v.bytesOfPath(basename(String(this.#context.pathText(this.#path)))));
      return;
    }
    const now = contentOf(inode);
    const isChanged = now !== this.#own;
    this.#own = now;
    if (!inode.isDirectory) {
      if (isChanged) tell('change', v.bytesOfPath(basename(String(this.#context.pathText(this.#path)))));
      return;
    }
    if (isChanged || !this.#isSettled) this.#list(tell);
    else this.#lookAt([...this.#seen.keys()], tell);
    this.#isSettled = !isChanged;
    for (const [name, look] of this.#inside) look.#againInside(name, tell);
  }

  #againInside(name: ByteString, tell: Tell): void {
    this.again((event, child) => {
      if (!this.#isOver) tell(event, `${name}/${child}` as ByteString);
    });
  }

  #list(tell: Tell): void {
    try {
      this.#lookAt(
        this.#dirs.entries(this.#path).map((entry) => entry.name),
        tell,
      );
    } catch {
      // Gone while we looked: the next look tells.
    }
  }

  #lookAt(names: readonly ByteString[], tell: Tell): void {
    const now = new Map<ByteString, string>();
    const parent = v.bytesOfPath(this.#path);
    for (const name of names) {
      const path = `${parent}/${name}` as ByteString;
      const inode = this.#context.process.fstatat(AT_FDCWD, path, false);
      if (typeof inode === 'number') continue;
      now.set(name, inode.isDirectory ? identityOf(inode) : contentOf(inode));
      if (inode.isDirectory && this.#isRecursive && !this.#inside.has(name)) {
        this.#inside.set(name, new Look(this.#context, this.#dirs, arrayOfBytes(path), true));
      }
    }
    const before = this.#seen;
    this.#seen = now;
    for (const name of before.keys()) {
      if (now.has(name)) continue;
      this.#inside.delete(name);
      tell('rename', name);
    }
    for (const [name, looks] of now) {
      if (!before.has(name)) tell('rename', name);
      else if (before.get(name) !== looks) tell('change', name);
    }
  }

  #find(path: ByteString): Inode | number {
    return this.#context.process.fstatat(AT_FDCWD, path, true);
  }
}

function identityOf({ ino, mode }: Inode): string {
  return `${ino} ${mode}`;
}

function contentOf(inode: Inode): string {
  const { size, mtime, mtimensec, ctime, ctimensec } = inode;
  return `${identityOf(inode)} ${size} ${mtime}.${mtimensec} ${ctime}.${ctimensec}`;
}

function isSame(a: AnyStats, b: AnyStats): boolean {
  const [one, other] = [a, b] as unknown as Record<string, unknown>[];
  const fields = ['ino', 'mode', 'size', 'nlink', 'uid', 'gid', 'mtimeMs', 'ctimeMs'];
  return fields.every((name) => one?.[name] === other?.[name]);
}
