/**
 * `virtiofs mount SPEC MOUNTPOINT [-o …]`: serves SPEC to the real Linux kernel, in the foreground.
 *
 * The first SIGINT, SIGTERM or SIGHUP unmounts as soon as nobody uses the mount; the second breaks the connection.
 */
import type { LogLevel } from '../host/log.ts';
import { type KernelMount, mountKernel } from '../transport/kernel/kernel-mount.ts';
import { MountError, requireMounting, requireMountPoint, requireOutside } from '../transport/kernel/mount-point.ts';
import { type KernelMountOptions, parseMountOptions } from '../transport/kernel/options.ts';
import { type FileSystemSpec, parseSize, parseSpec } from '../worker/host-options.ts';

const MOUNT_USAGE = 'usage: virtiofs mount SPEC MOUNTPOINT [-o OPTION,…]';

/** How often a busy mount is tried again after a signal. */
const RETRY_MS = 100;
/** How long a broken connection may take to end. */
const FORCE_MS = 5000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface MountArguments {
  readonly specText: string;
  readonly spec: FileSystemSpec;
  readonly mountPoint: string;
  readonly options: KernelMountOptions;
}

/** Returns the exit code: 0 unmounted, 1 something went wrong while it was mounted, 2 it could not be mounted. */
export async function mountCommand(args: string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(MOUNT_USAGE);
    return 0;
  }
  const signals = new Signals();
  try {
    const { specText, spec, mountPoint, options } = parse(args);
    requireMounting();
    if (spec.type === 'dir') requireOutside(requireMountPoint(mountPoint), spec.path);
    const mount = await mountKernel({ fs: spec, mountPoint, options, log });
    console.log(`mounted ${specText} on ${mountPoint}`);
    return await untilEnded(mount, signals);
  } catch (error) {
    if (!(error instanceof MountError || error instanceof TypeError || error instanceof RangeError)) throw error;
    log('error', error.message);
    return 2;
  } finally {
    signals.release();
  }
}

async function untilEnded(mount: KernelMount, signals: Signals): Promise<number> {
  void leave(mount, signals);
  void breakOff(mount, signals);
  const report = await mount.ended;
  if (report === undefined) return 1;
  for (const leak of report.leaks) log('error', `after the unmount ${leak}`);
  return report.leaks.length === 0 ? 0 : 1;
}

async function leave(mount: KernelMount, signals: Signals): Promise<void> {
  await signals.first;
  let isTold = false;
  while (!mount.isOver && signals.count < 2) {
    const problem = await mount.unmount();
    if (problem === undefined || mount.isOver || signals.count > 1) return;
    if (!isTold) log('error', `${problem}: unmounting when nobody uses it; signal again to force`);
    isTold = true;
    await sleep(RETRY_MS);
  }
}

async function breakOff(mount: KernelMount, signals: Signals): Promise<void> {
  await signals.second;
  if (mount.isOver) return;
  await mount.force();
  await sleep(FORCE_MS);
  // Detached by somebody else while in use, or stuck in the served file system: there is no way left to be polite.
  if (!mount.isOver) process.kill(process.pid, 'SIGKILL');
}

class Signals {
  count = 0;
  readonly first: Promise<void>;
  readonly second: Promise<void>;
  readonly #onSignal: () => void;

  constructor() {
    let one: () => void;
    let two: () => void;
    this.first = new Promise((resolve) => {
      one = resolve;
    });
    this.second = new Promise((resolve) => {
      two = resolve;
    });
    this.#onSignal = () => {
      this.count++;
      if (this.count === 1) one();
      else two();
    };
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  /** Signals kill us again. */
  release(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

function parse(args: readonly string[]): MountArguments {
  const words: string[] = [];
  const lists: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (arg === '-o') {
      const list = args[++i];
      if (list === undefined) throw new TypeError(`-o needs options after it; ${MOUNT_USAGE}`);
      lists.push(list);
    } else if (arg.startsWith('-o')) lists.push(arg.slice(2));
    else if (arg.startsWith('-')) throw new TypeError(`unknown argument '${arg}'; ${MOUNT_USAGE}`);
    else words.push(arg);
  }
  const [specText, mountPoint] = words;
  if (specText === undefined || mountPoint === undefined || words.length > 2) throw new TypeError(MOUNT_USAGE);
  const options = parseMountOptions(lists);
  return { specText, mountPoint, options, spec: specWith(parseSpec(specText), options) };
}

function specWith(spec: FileSystemSpec, options: KernelMountOptions): FileSystemSpec {
  const { uid, gid, mode, size } = options;
  if (spec.type === 'memory') return size === undefined ? spec : { ...spec, size: parseSize(size) };
  if (spec.type === 'fuse') throw new TypeError('mount cannot serve fuse:SOCKET: let its server mount itself');
  const isForMemory = uid !== undefined || gid !== undefined || mode !== undefined || size !== undefined;
  if (isForMemory) throw new TypeError('mount options uid=, gid=, mode= and size= are for memory: leave them out here');
  return { ...spec, readOnly: options.readOnly, native: options.native };
}

function log(level: LogLevel, text: string): void {
  if (level === 'error') console.error(`virtiofs: ${text}`);
}
