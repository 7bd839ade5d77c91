/**
 * A mount of the real kernel, as the thread that asked for it sees it: the worker serves, this side mounts, unmounts
 * and hears of the end. Nothing here may touch the mounted tree and wait for it while the worker is not serving.
 *
 *   building → mounting → mounted → ended
 *   any      → ended: it could not be built or mounted, or the worker failed
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { LogLevel } from '../../host/log.ts';
import {
  MountError,
  openDevice,
  raiseReadAhead,
  requireMounting,
  requireMountPoint,
  runMount,
  runUmount,
} from './mount-point.ts';
import { type KernelMountOptions, mountWords } from './options.ts';
import { settler } from './settler.ts';

/** What the worker is started with. */
export interface KernelWorkerData {
  readonly fd: number;
  /** What to serve; the worker knows how to read it. */
  readonly fs: unknown;
  readonly options: KernelMountOptions;
  /** Word 0: 1 = nobody will mount the device, end. */
  readonly stop: SharedArrayBuffer;
}

/** What the worker tells. */
export type KernelWorkerMessage =
  | { readonly type: 'built' }
  | { readonly type: 'ready' }
  | { readonly type: 'log'; readonly level: LogLevel; readonly text: string }
  | { readonly type: 'failed'; readonly text: string }
  | { readonly type: 'ended'; readonly report: KernelReport };

/** What a mount counted during its life. */
export interface KernelReport {
  readonly requests: number;
  /** What was not given back at the end, one sentence each; empty when all is well. */
  readonly leaks: readonly string[];
}

export interface MountRequest {
  readonly fs: unknown;
  readonly mountPoint: string;
  readonly options: KernelMountOptions;
  readonly log: (level: LogLevel, text: string) => void;
  /** The worker's file. Default: `kernel-worker.js` beside the bundle. */
  readonly worker?: URL;
}

/** How long mount(8) may have succeeded without the kernel saying INIT. */
const READY_TIMEOUT_MS = 30_000;

/** Mounts, and resolves when the kernel and we have agreed. Throws a MountError. */
export async function mountKernel(request: MountRequest): Promise<KernelMount> {
  requireMounting();
  const mountPoint = requireMountPoint(request.mountPoint);
  const fd = openDevice();
  const mount = new KernelMount(fd, mountPoint, request);
  try {
    await mount.built;
    await runMount(fd, mountWords(request.options), mountPoint);
  } catch (error) {
    mount.abandon();
    await mount.ended;
    throw error;
  }
  await mount.becomeReady();
  return mount;
}

export class KernelMount {
  readonly mountPoint: string;
  /** The file system is there; rejects when it cannot be. */
  readonly built: Promise<void>;
  /** Resolves when the mount is gone and everything is written back; undefined when the worker failed. */
  readonly ended: Promise<KernelReport | undefined>;
  readonly #ready: Promise<void>;
  readonly #stop = new SharedArrayBuffer(4);
  #isOver = false;

  /** Use mountKernel. */
  constructor(fd: number, mountPoint: string, request: MountRequest) {
    this.mountPoint = mountPoint;
    const url = request.worker ?? new URL('./kernel-worker.js', import.meta.url);
    const { fs, options } = request;
    const workerData: KernelWorkerData = { fd, fs, options, stop: this.#stop };
    const worker = new Worker(url, { workerData });
    let report: KernelReport | undefined;
    const built = settler<void>();
    const ready = settler<void>();
    const ended = settler<KernelReport | undefined>();
    const fail = (text: string) => {
      built.reject(new MountError(text));
      ready.reject(new MountError(text));
    };
    worker.on('message', (message: KernelWorkerMessage) => {
      if (message.type === 'built') built.resolve();
      else if (message.type === 'ready') ready.resolve();
      else if (message.type === 'log') request.log(message.level, message.text);
      else if (message.type === 'failed') fail(message.text);
      else report = message.report;
    });
    worker.on('error', (error: Error) => {
      request.log('error', `the worker failed: ${error.stack ?? error.message}`);
      fail(`the worker failed: ${error.message}`);
    });
    worker.on('exit', () => {
      this.#isOver = true;
      closeSync(fd);
      fail('the mount ended before it was ready');
      ended.resolve(report);
    });
    this.built = built.promise;
    this.#ready = ready.promise;
    this.ended = ended.promise;
    this.built.catch(() => {});
    this.#ready.catch(() => {});
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Nobody will mount the device: the worker ends. */
  abandon(): void {
    // ORDER: the worker looks at this word between two looks at the unmounted device.
    Atomics.store(new Int32Array(this.#stop), 0, 1);
  }

  /** Waits for INIT; what cannot be agreed on is unmounted. */
  async becomeReady(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new MountError('the kernel did not start the connection')), READY_TIMEOUT_MS);
    });
    try {
      await Promise.race([this.#ready, late]);
      raiseReadAhead(this.mountPoint);
    } catch (error) {
      await this.force();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Unmounts if nobody uses the mount. Returns undefined when it worked, else why not. The worker then ends. */
  async unmount(): Promise<string | undefined> {
    if (this.#isOver) return undefined;
    return runUmount(this.mountPoint);
  }

  /** Breaks the connection: whoever uses the mount gets ENOTCONN. */
  async force(): Promise<void> {
    if (!this.#isOver) await runUmount(this.mountPoint, '-f', '-l');
  }
}
