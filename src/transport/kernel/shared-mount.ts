/**
 * A mount of a host that serves guests too, as the thread that asked for it sees it. The host answers; a reader and a
 * notifier of its own block for the mount; this side mounts, unmounts and hears of the end.
 *
 *   mounting → mounted → ended
 *   mounting → ended: it could not be mounted
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { SharedDoorbell } from '../../base/doorbell.ts';
import type { LogLevel } from '../../host/log.ts';
import { Guard } from './guard.ts';
import { BOX_CLAIMED, BOX_CLOSED, BOX_FREE, BOX_GONE, BOX_OFFERED, BOX_OPEN, Mailbox } from './mailbox.ts';
import {
  MountError,
  openDevice,
  raiseReadAhead,
  requireMounting,
  requireMountPoint,
  requireOutside,
  runMount,
  runUmount,
  runUmountAtExit,
  SOURCE,
} from './mount-point.ts';
import { type KernelMountOptions, lifetimes, mountWords, parseMountOptions } from './options.ts';
import { type Settler, settler } from './settler.ts';

/** What both of a mount's workers are started with. */
export interface MailboxWorkerData {
  readonly buffer: SharedArrayBuffer;
  /** Where the mailbox is, and the host's doorbell. */
  readonly at: number;
  readonly bellAt: number;
}

export interface SharedMountRequest {
  readonly buffer: SharedArrayBuffer;
  /** Where the mailboxes are: one per mount that there may be. */
  readonly boxes: readonly number[];
  readonly bellAt: number;
  readonly mountPoint: string;
  /** The directory that the host serves, if it is one. */
  readonly served: string | undefined;
  /** As `-o` would say it. */
  readonly options: string;
  readonly log: (level: LogLevel, text: string) => void;
}

/** Mounts that this process has begun: each has a source of its own. */
let mounts = 0;
/** How long mount(8) may have succeeded without the kernel saying INIT. */
const READY_TIMEOUT_MS = 30_000;

/** Starts to mount; the caller tells the mount what the host says of it. Throws a MountError. */
export function beginMount(request: SharedMountRequest): SharedMount {
  requireMounting();
  const mountPoint = requireMountPoint(request.mountPoint);
  if (request.served !== undefined) requireOutside(mountPoint, request.served);
  const options = parseMountOptions([request.options]);
  const { uid, gid, mode, size } = options;
  if (uid !== undefined || gid !== undefined || mode !== undefined || size !== undefined)
    throw new TypeError('mount options uid=, gid=, mode= and size= say how a host is made: this one is there already');
  if (options.localLocks)
    throw new TypeError('mount option local_locks is for a mount alone: this host has guests, who would see no lock');
  const index = request.boxes.findIndex((at) => new Mailbox(request.buffer, at).enter(BOX_FREE, BOX_CLAIMED));
  if (index < 0) throw new MountError(`all ${request.boxes.length} kernel mounts of this host are taken`);
  const box = new Mailbox(request.buffer, request.boxes[index] as number);
  try {
    return new SharedMount(request, options, mountPoint, index, openDevice(), box);
  } catch (error) {
    box.enter(BOX_CLAIMED, BOX_FREE);
    throw error;
  }
}

export class SharedMount {
  readonly mountPoint: string;
  /** Which mailbox of the host it has. */
  readonly index: number;
  /** Resolves when the mount is gone and its threads have ended, whoever unmounted it. */
  readonly ended: Promise<void>;
  readonly #options: KernelMountOptions;
  readonly #fd: number;
  readonly #box: Mailbox;
  readonly #bell: SharedDoorbell;
  readonly #log: SharedMountRequest['log'];
  readonly #ready: Settler<void> = settler();
  readonly #closed: Settler<void> = settler();
  readonly #workers: readonly Worker[];
  readonly #source = `${SOURCE}-${process.pid}-${++mounts}`;
  #guard: Guard | undefined;
  #isOver = false;
  #isHostGone = false;

  /** Use beginMount. */
  constructor(
    request: SharedMountRequest,
    options: KernelMountOptions,
    mountPoint: string,
    index: number,
    fd: number,
    box: Mailbox,
  ) {
    this.mountPoint = mountPoint;
    this.index = index;
    this.#options = options;
    this.#fd = fd;
    this.#box = box;
    this.#log = request.log;
    this.#bell = new SharedDoorbell(request.buffer, request.bellAt);
    this.#ready.promise.catch(() => {});
    box.offer({ fd, writebackCache: options.writebackCache, ...lifetimes(options) });
    this.#bell.ring();
    const workerData: MailboxWorkerData = {
      buffer: request.buffer,
      at: request.boxes[index] as number,
      bellAt: request.bellAt,
    };
    const reader = new Worker(new URL('./kernel-reader.js', import.meta.url), { workerData });
    const notifier = new Worker(new URL('./kernel-notifier.js', import.meta.url), { workerData });
    this.#workers = [reader, notifier];
    this.ended = this.#untilEnded(reader, notifier);
    const leave = () => {
      box.abandon();
      runUmountAtExit(mountPoint);
      this.#guard?.dismiss();
    };
    process.once('exit', leave);
    void this.ended.then(() => process.off('exit', leave));
  }

  /** Mounts and waits for INIT; what fails is undone. */
  async mount(): Promise<void> {
    try {
      await runMount(this.#fd, mountWords(this.#options), this.mountPoint, this.#source);
    } catch (error) {
      this.#box.abandon();
      await this.ended;
      throw error;
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new MountError('the kernel did not start the connection')), READY_TIMEOUT_MS);
    });
    try {
      await Promise.race([this.#ready.promise, late]);
      if (this.#box.thread > 0) this.#guard = new Guard(this.#box.thread, this.#source, this.mountPoint);
      await this.#guard?.up;
      raiseReadAhead(this.mountPoint);
    } catch (error) {
      await this.force();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The host says: INIT was agreed on, or nothing is left. */
  hear(what: 'ready' | 'closed'): void {
    if (what === 'ready') this.#ready.resolve();
    else this.#closed.resolve();
  }

  /** The host will say nothing more, and answer nothing. */
  hostIsGone(): void {
    this.#isHostGone = true;
    this.#closed.resolve();
    this.#box.orphan();
    if (this.#box.state === BOX_GONE) this.#closeBox();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Unmounts if nobody uses the mount, and waits for the end. Throws a MountError that says why it cannot be. */
  async unmount(): Promise<void> {
    if (this.#isOver) return;
    const problem = await runUmount(this.mountPoint);
    if (problem !== undefined && !this.#isOver) throw new MountError(problem);
    await this.ended;
  }

  /** Breaks the connection: whoever uses the mount gets ENOTCONN. Waits for the end. */
  async force(): Promise<void> {
    if (!this.#isOver) await this.#break();
    await this.ended;
  }

  /** Lets the process end while it is mounted. */
  unref(): void {
    for (const worker of this.#workers) worker.unref();
  }

  /** Unmounts; who still uses the mount gets ENOTCONN. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    const problem = await runUmount(this.mountPoint);
    await (problem === undefined ? this.ended : this.force());
  }

  async #untilEnded(reader: Worker, notifier: Worker): Promise<void> {
    const notified = this.#exitOf(notifier, 'notifier');
    await this.#exitOf(reader, 'reader');
    this.#ready.reject(new MountError('the mount ended before it was ready'));
    // It may have failed before it could say so.
    this.#box.enter(BOX_OFFERED, BOX_GONE);
    this.#box.enter(BOX_OPEN, BOX_GONE);
    this.#bell.ring();
    if (this.#isHostGone) this.#closeBox();
    await this.#closed.promise;
    await notified;
    this.#isOver = true;
    this.#guard?.dismiss();
    closeSync(this.#fd);
    this.#box.enter(BOX_CLOSED, BOX_FREE);
  }

  /** The guard can do what this process may not be able to: start a program, while nobody answers. */
  async #break(): Promise<void> {
    if ((await this.#guard?.strike()) !== true) await runUmount(this.mountPoint, '-f', '-l');
  }

  #closeBox(): void {
    this.#box.enter(BOX_GONE, BOX_CLOSED);
    this.#box.notifyBell.ring();
  }

  #exitOf(worker: Worker, name: string): Promise<void> {
    return new Promise((resolve) => {
      worker.once('error', (error: unknown) => {
        this.#log('error', `the ${name} of ${this.mountPoint} failed: ${String(error)}`);
        // Without it nothing of the mount can be trusted to end by itself.
        void this.#break();
      });
      worker.once('exit', () => resolve());
    });
  }
}
