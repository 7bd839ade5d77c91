/**
 * The guest's channel over a virtio-fs device: one synchronous request at a time on a request queue, posted ones
 * (FORGET on hiprio, RELEASE on the request queue) whose buffers come back whenever the host is done with them. What
 * finds its ring full is parked, in order, until completions make room.
 *
 * The reply is checked as Linux ≥ 7.1 does: at least a header, `used.len` = `out.len`, `unique` as sent; else EIO.
 * SPEC: virtio 1.3, 5.11.6.2: FORGET, INTERRUPT and BATCH_FORGET only on hiprio, everything else on request queues.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { Doorbell } from '../base/doorbell.ts';
import { SegmentList } from '../virtio/chain.ts';
import type { DriverQueue } from '../virtio/driver.ts';
import type { VirtioDriver } from '../virtio/negotiate.ts';
import { ParkedQueue } from '../virtio/parked.ts';
import { EIO, ENOTCONN, type Errno, OK } from '../wire/errno.ts';
import { InHeader, InterruptIn, OutHeader } from '../wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import { ARGS_ROOM, type Channel, type Cpu, REPLY_ROOM, Request } from './channel.ts';
import type { NotifySource } from './notifications.ts';

const REPLY_AT = 8256;
const POSTS_AT = 8832;
const POST_COUNT = 64;
const POST_ROOM = 1024;
const POST_STRIDE = POST_ROOM + 64;
/** Bytes of shared memory a channel needs for its requests; rings and the bounce buffer are apart. */
export const REQUEST_AREA_SIZE = POSTS_AT + POST_COUNT * POST_STRIDE;

const CALL_TOKEN = 0;
/** An INTERRUPT that overtook its request on the other queue meant nothing: it is sent again. */
const INTERRUPT_AGAIN_MS = 20;

export interface VirtioChannelOptions {
  readonly driver: VirtioDriver;
  readonly buffer: ArrayBufferLike;
  /** REQUEST_AREA_SIZE bytes. */
  readonly requestAt: number;
  readonly dataAt: number;
  readonly dataSize: number;
  readonly bell: Doorbell;
  readonly clock: Clock;
  /** Looks at the ring before sleeping; 0 in one thread. */
  readonly spins: number;
  readonly hasWindow: boolean;
  readonly notifications?: NotifySource | undefined;
  readonly cpu?: Cpu | undefined;
  /** Tells that the host is gone. */
  readonly isDead: () => boolean;
  /** Called by close, after the device was reset. */
  readonly onClose: () => void;
}

export class VirtioChannel implements Channel {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly request = new Request();
  readonly args: number;
  readonly reply: number;
  readonly data: number;
  readonly dataSize: number;
  readonly hasWindow: boolean;
  readonly notifications: NotifySource | undefined;
  readonly cpu: Cpu | undefined;
  received = 0;
  /** Sleeps, kicks: for the cost tables. */
  readonly counts = { requests: 0, kicks: 0, sleeps: 0 };
  readonly #options: VirtioChannelOptions;
  readonly #hiprio: DriverQueue;
  readonly #queue: DriverQueue;
  readonly #readable = new SegmentList();
  readonly #writable = new SegmentList();
  readonly #freePosts: number[] = [];
  /** Posted requests that found their ring full, in order. */
  readonly #parked = new ParkedQueue();
  readonly #parkedHiprio = new ParkedQueue();
  #unique = 0;
  /** `unique` of the call. */
  #called = 0;
  #isAnswered = false;
  #usedLength = 0;
  #isClosed = false;

  constructor(options: VirtioChannelOptions) {
    assert(
      IN_HEADER_SIZE + ARGS_ROOM <= REPLY_AT && REPLY_AT + OUT_HEADER_SIZE + REPLY_ROOM <= POSTS_AT,
      'request area',
    );
    this.#options = options;
    this.view = new DataView(options.buffer);
    this.bytes = new Uint8Array(options.buffer);
    this.args = options.requestAt + IN_HEADER_SIZE;
    this.reply = options.requestAt + REPLY_AT + OUT_HEADER_SIZE;
    this.data = options.dataAt;
    this.dataSize = options.dataSize;
    this.hasWindow = options.hasWindow;
    this.notifications = options.notifications;
    this.cpu = options.cpu;
    const { queues, firstRequestQueue } = options.driver;
    this.#hiprio = queues[0] as DriverQueue;
    this.#queue = queues[firstRequestQueue] as DriverQueue;
    for (const queue of queues) queue.disableInterrupts();
    for (let i = POST_COUNT; i > 0; i--) this.#freePosts.push(i);
  }

  call(): Errno {
    const { request } = this;
    this.received = 0;
    if (this.#isGone()) return ENOTCONN;
    this.#writeHeader(this.#options.requestAt, request.opcode, request.argSize + request.dataInSize);
    this.#called = this.#unique;
    this.#isAnswered = false;
    if (!this.#submitCall()) return ENOTCONN;
    const isEndless = request.timeoutMs === Number.POSITIVE_INFINITY;
    if (!(isEndless ? this.#waitForAnswer() : this.#waitOrInterrupt(request.timeoutMs))) return ENOTCONN;
    return this.#checkReply();
  }

  post(): void {
    if (this.#isGone()) return;
    const { request } = this;
    assert(request.argSize <= POST_ROOM - IN_HEADER_SIZE, 'a posted request is small');
    const post = this.#takePost();
    if (post === 0) return;
    const at = this.#postAt(post);
    this.bytes.copyWithin(at + IN_HEADER_SIZE, this.args, this.args + request.argSize);
    this.#writeHeader(at, request.opcode, request.argSize);
    this.#submitPost(isHighPriority(request.opcode) ? this.#hiprio : this.#queue, post);
  }

  get pending(): number {
    this.#reap(this.#hiprio);
    this.#reap(this.#queue);
    return POST_COUNT - this.#freePosts.length;
  }

  drain(): void {
    const isBusy = () =>
      this.#hiprio.inFlight + this.#queue.inFlight + this.#parkedHiprio.count + this.#parked.count > 0;
    while (isBusy() && this.#waitOnce(this.#hiprio, this.#queue));
  }

  close(): void {
    if (this.#isClosed) return;
    this.drain();
    this.#isClosed = true;
    this.#options.onClose();
  }

  #writeHeader(at: number, opcode: number, bodySize: number): void {
    const { request, view } = this;
    const unique = ++this.#unique;
    InHeader.len.set(view, at, IN_HEADER_SIZE + bodySize);
    InHeader.opcode.set(view, at, opcode);
    InHeader.unique.setWords(view, at, unique >>> 0, Math.floor(unique / 0x1_0000_0000));
    InHeader.nodeid.set(view, at, request.nodeid);
    InHeader.uid.set(view, at, request.uid);
    InHeader.gid.set(view, at, request.gid);
    InHeader.pid.set(view, at, request.pid);
    InHeader.total_extlen.set(view, at, 0);
    InHeader.padding.set(view, at, 0);
  }

  /** Adds the call; while posted requests are parked, or the ring is full, it waits its turn here. */
  #submitCall(): boolean {
    this.counts.requests++;
    while (this.#parked.count > 0 || !this.#addCall()) if (!this.#waitOnce(this.#queue, this.#queue)) return false;
    this.#publish(this.#queue);
    return true;
  }

  #addCall(): boolean {
    const { request } = this;
    this.#readable.clear();
    this.#readable.push(this.#options.requestAt, IN_HEADER_SIZE + request.argSize);
    this.#readable.push(request.dataIn, request.dataInSize);
    this.#writable.clear();
    this.#writable.push(this.#options.requestAt + REPLY_AT, OUT_HEADER_SIZE + request.replySize);
    this.#writable.push(request.dataOut, request.dataOutSize);
    return this.#queue.add(this.#readable, this.#writable, CALL_TOKEN);
  }

  #submitPost(queue: DriverQueue, post: number): void {
    this.counts.requests++;
    const parked = queue === this.#hiprio ? this.#parkedHiprio : this.#parked;
    // Nobody overtakes what is parked: not even when there is room again.
    if (parked.count > 0 || !this.#addPost(queue, post)) parked.push(post);
    this.#publish(queue);
  }

  /** Adds a posted request that lies in its buffer; its own header says how long it is. */
  #addPost(queue: DriverQueue, post: number): boolean {
    const at = this.#postAt(post);
    this.#readable.clear();
    this.#readable.push(at, InHeader.len.get(this.view, at));
    this.#writable.clear();
    if (queue !== this.#hiprio) this.#writable.push(at + POST_ROOM, OUT_HEADER_SIZE);
    return queue.add(this.#readable, this.#writable, post);
  }

  #postAt(post: number): number {
    return this.#options.requestAt + POSTS_AT + (post - 1) * POST_STRIDE;
  }

  #publish(queue: DriverQueue): void {
    if (!queue.publish()) return;
    this.counts.kicks++;
    this.#options.driver.kick.ring();
  }

  /** Completions made room: what is parked goes first. */
  #unpark(queue: DriverQueue): void {
    const parked = queue === this.#hiprio ? this.#parkedHiprio : this.#parked;
    while (parked.count > 0 && this.#addPost(queue, parked.first())) parked.shift();
    this.#publish(queue);
  }

  #waitForAnswer(): boolean {
    for (let i = this.#options.spins; i > 0; i--) {
      this.#reap(this.#queue);
      if (this.#isAnswered) return true;
    }
    while (!this.#isAnswered) if (!this.#waitOnce(this.#queue, this.#queue)) return this.#isAnswered;
    return true;
  }

  /** As above; when the time is over, asks the host to give the request up, and still waits for what it says. */
  #waitOrInterrupt(timeoutMs: number): boolean {
    const { clock } = this.#options;
    let dueMs = clock.monotonicMs() + timeoutMs;
    while (!this.#isAnswered) {
      const nowMs = clock.monotonicMs();
      if (nowMs >= dueMs) {
        this.#interrupt();
        dueMs = nowMs + INTERRUPT_AGAIN_MS;
      }
      if (!this.#waitOnce(this.#queue, this.#queue, Math.min(1000, dueMs - nowMs))) return this.#isAnswered;
    }
    return true;
  }

  #interrupt(): void {
    const post = this.#takePost();
    if (post === 0) return;
    const at = this.#postAt(post);
    this.#writeHeader(at, OPS.INTERRUPT.code, sizeOf(InterruptIn));
    const [low, high] = [this.#called >>> 0, Math.floor(this.#called / 0x1_0000_0000)];
    InterruptIn.unique.setWords(this.view, at + IN_HEADER_SIZE, low, high);
    this.#submitPost(this.#hiprio, post);
  }

  /** Sleeps until one of two queues has used entries, and takes them. False: the device is gone. */
  #waitOnce(one: DriverQueue, other: DriverQueue, timeoutMs = 1000): boolean {
    const { bell, driver } = this.#options;
    const seen = bell.seen();
    const isThere = one.enableInterrupts() || (other !== one && other.enableInterrupts());
    const isGone = this.#isGone();
    if (!isThere && !isGone) {
      this.counts.sleeps++;
      bell.wait(seen, timeoutMs);
    }
    one.disableInterrupts();
    other.disableInterrupts();
    const reaped = this.#reap(one) + (other === one ? 0 : this.#reap(other));
    return reaped > 0 || !(isGone || driver.needsReset);
  }

  /** Takes all used entries of a queue; returns how many. */
  #reap(queue: DriverQueue): number {
    let count = 0;
    for (let token = queue.takeUsed(); token >= 0; token = queue.takeUsed()) {
      if (token !== CALL_TOKEN) this.#freePosts.push(token);
      else {
        this.#isAnswered = true;
        this.#usedLength = queue.usedLength;
      }
      count++;
    }
    if (count > 0) this.#unpark(queue);
    return count;
  }

  /** Returns the number of a free post buffer, 1 …; 0 when the device is gone. */
  #takePost(): number {
    this.#reap(this.#hiprio);
    while (this.#freePosts.length === 0) if (!this.#waitOnce(this.#hiprio, this.#queue)) return 0;
    return this.#freePosts.pop() as number;
  }

  #checkReply(): Errno {
    const at = this.#options.requestAt + REPLY_AT;
    const used = this.#usedLength;
    if (used < OUT_HEADER_SIZE || OutHeader.len.get(this.view, at) !== used) return EIO;
    const unique = this.#called;
    if (OutHeader.unique.low(this.view, at) !== unique >>> 0) return EIO;
    if (OutHeader.unique.high(this.view, at) !== Math.floor(unique / 0x1_0000_0000)) return EIO;
    const error = -OutHeader.error.get(this.view, at);
    if (error < 0 || error >= 4096) return EIO;
    if (error !== 0) return error as Errno;
    this.received = used - OUT_HEADER_SIZE;
    if (this.received >= this.request.replySize) return OK;
    // SPEC: fuse.h 7.5, 7.23: INIT's reply grew; what an older server leaves out reads as zero.
    if (this.request.opcode !== OPS.INIT.code) return EIO;
    this.bytes.fill(0, this.reply + this.received, this.reply + this.request.replySize);
    return OK;
  }

  #isGone(): boolean {
    return this.#isClosed || this.#queue.broken !== undefined || this.#options.isDead();
  }
}

function isHighPriority(opcode: number): boolean {
  return opcode === OPS.FORGET.code || opcode === OPS.BATCH_FORGET.code || opcode === OPS.INTERRUPT.code;
}
