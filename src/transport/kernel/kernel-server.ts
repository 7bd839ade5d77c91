/**
 * Serves one mount of the real Linux kernel: reads a request, lets the session answer it, writes the reply, and so on.
 *
 * Both buffers lie in the host's memory. A request cannot change once it is read, so its arguments are looked at in
 * place; WRITE's payload is copied from there into the frames, READ's payload from the frames to just behind the
 * reply's header: each byte moves once, and the reply is one contiguous write. Payloads start on page boundaries.
 *
 *   at │ … request header and arguments │ payload … │ … reply header │ payload …
 *
 *   waiting → serving: the first request was read: somebody has mounted the device
 *   any     → ended:   the kernel has let go of the connection, or we are told to stop before it was mounted
 * SPEC: Linux, Documentation/filesystems/fuse/fuse.rst; fs/fuse/dev.c, fuse_dev_do_read and fuse_dev_do_write.
 */
import { assert } from '../../base/assert.ts';
import { REPLY_ROOM } from '../../host/call.ts';
import type { Log } from '../../host/log.ts';
import type { Session } from '../../host/session.ts';
import { EAGAIN, ECONNABORTED, EINTR, ENODEV, ENOENT, EPERM, type Errno, errnoName } from '../../wire/errno.ts';
import { OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { Answerer, WRITE_HEAD } from './answerer.ts';
import type { FuseDevice } from './device.ts';

export interface KernelServerOptions {
  readonly device: FuseDevice;
  readonly session: Session;
  /** The host's memory, and where in it `kernelRoom(maxWrite)` bytes are ours; a multiple of the page size. */
  readonly buffer: ArrayBufferLike;
  readonly at: number;
  readonly log: Log;
  /** Called between two looks at a device that nobody has mounted yet. */
  readonly pause: () => void;
  /** Ends the wait for a mount that does not come. */
  readonly isStopping: () => boolean;
  /** Called once, when INIT was agreed on. */
  readonly onReady: () => void;
}

export type KernelServerState = 'waiting' | 'serving' | 'ended';

const PAGE_SIZE = 4096;

/** Bytes of host memory that a server needs for requests and replies of at most `maxWrite` payload bytes. */
export function kernelRoom(maxWrite: number): number {
  return requestRoom(maxWrite) + replyRoom(maxWrite) + 2 * PAGE_SIZE;
}

export class KernelServer {
  /** Requests read. */
  requests = 0;
  readonly #options: KernelServerOptions;
  readonly #answerer: Answerer;
  readonly #requestBytes: Uint8Array;
  readonly #request: DataView;
  readonly #requestAt: number;
  #state: KernelServerState = 'waiting';

  constructor(options: KernelServerOptions) {
    this.#options = options;
    const { buffer, at, session, device, log, onReady } = options;
    const { maxWrite } = session.options;
    assert(at % PAGE_SIZE === 0, 'the room does not start on a page boundary');
    this.#requestAt = at + PAGE_SIZE - WRITE_HEAD;
    const requestSize = requestRoom(maxWrite) - PAGE_SIZE + WRITE_HEAD;
    const replyAt = at + requestRoom(maxWrite) + PAGE_SIZE - OUT_HEADER_SIZE;
    const replySize = replyRoom(maxWrite) - PAGE_SIZE + OUT_HEADER_SIZE;
    this.#requestBytes = new Uint8Array(buffer, this.#requestAt, requestSize);
    this.#request = new DataView(buffer, this.#requestAt, requestSize);
    this.#answerer = new Answerer({ device, session, buffer, replyAt, replySize, log, onReady });
  }

  get state(): KernelServerState {
    return this.#state;
  }

  /** Serves until the mount is gone. Blocks the thread. */
  run(): void {
    while (this.step());
  }

  /** Waits for one request and answers it; false when there will be no more. */
  step(): boolean {
    const size = this.#options.device.read(this.#requestBytes);
    if (size < 0) return this.#afterFailedRead(-size as Errno);
    if (this.#state === 'waiting') this.#enter('serving');
    this.requests++;
    this.#answerer.answer(this.#request, this.#requestAt, size);
    return true;
  }

  #afterFailedRead(errno: Errno): boolean {
    // ENOENT: the request was interrupted while it was handed over.
    if (errno === EINTR || errno === EAGAIN || errno === ENOENT) return true;
    if (errno === EPERM && this.#state === 'waiting' && !this.#options.isStopping()) {
      this.#options.pause();
      return true;
    }
    const isOver = errno === ENODEV || errno === ECONNABORTED || this.#state === 'waiting';
    if (!isOver) this.#options.log('error', `reading from the kernel failed: ${errnoName(errno)}`);
    this.#enter('ended');
    return false;
  }

  #enter(next: KernelServerState): void {
    assert(this.#state !== 'ended', 'an ended server changes its state');
    this.#state = next;
  }
}

/** The kernel refuses to hand anything to a buffer that a full WRITE would not fit into. */
function requestRoom(maxWrite: number): number {
  return PAGE_SIZE + roundUp(Math.max(maxWrite, REPLY_ROOM)) + PAGE_SIZE;
}

function replyRoom(maxWrite: number): number {
  return PAGE_SIZE + roundUp(Math.max(maxWrite, REPLY_ROOM));
}

function roundUp(size: number): number {
  return Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
}
