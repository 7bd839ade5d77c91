/**
 * One guest's virtio-fs device on the host: takes request chains from its queues, lets the session answer them, puts
 * them back, and answers its page faults.
 *
 * Header and arguments are copied once into private memory and never read again from the guest's; payloads are named by
 * address and copied between frames and the guest's buffers directly, or through a bounce buffer when the guest's
 * memory is not ours (another emulator's RAM).
 */
import { CPU_CLAIMED, CPU_DEAD, CPU_LIVE } from '../../assembly/layout.ts';
import { Chain, readSegments, SegmentList, slice, writeSegments } from '../virtio/chain.ts';
import type { DeviceQueue } from '../virtio/device.ts';
import type { GuestMemory } from '../virtio/memory.ts';
import type { VirtioDevice } from '../virtio/negotiate.ts';
import { REG } from '../virtio/registers.ts';
import { EINVAL, ENOMEM } from '../wire/errno.ts';
import { InHeader, OutHeader, WriteIn } from '../wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import { type Call, type CallHandler, type Deferred, REPLY_ROOM, REQUEST_ROOM } from './call.ts';
import type { CpuSlot } from './cpu-slot.ts';
import { DeferredChain } from './deferred-chain.ts';
import type { GracePeriod } from './grace.ts';
import type { Log } from './log.ts';
import type { HostPort } from './loop.ts';
import type { WindowMapper } from './mapper.ts';
import type { Announcer } from './notify.ts';

const WRITE_HEAD = IN_HEADER_SIZE + sizeOf(WriteIn);
/** Chains served from one queue before the others get their turn. */
const BURST = 64;

export interface DeviceServerOptions {
  readonly device: VirtioDevice;
  readonly memory: GuestMemory;
  /** Starts a session for the guest that comes next; `notifications`: the queue by which it wants to be told things. */
  readonly openSession: (notifications: DeviceQueue | undefined) => CallHandler;
  readonly slot: CpuSlot;
  readonly grace: GracePeriod;
  readonly mapper: WindowMapper | undefined;
  readonly log: Log;
  /** For memory that is not the host's own: where payloads stop over, in the host's memory. */
  readonly bounce?: { readonly bytes: Uint8Array; readonly at: number; readonly size: number };
  /** Tells others of changes; a reply waits until they have heard. */
  readonly announcer?: Pick<Announcer, 'hasTold' | 'hold'>;
  /** Called after a dead guest has left nothing behind. */
  readonly onGone?: () => void;
}

export class DeviceServer implements HostPort {
  readonly device: VirtioDevice;
  readonly slot: CpuSlot;
  /** Requests served, for tables and tests. */
  requests = 0;
  /** Pages that guests of this slot still pinned when they ended. */
  leakedPins = 0;
  readonly #options: DeviceServerOptions;
  /** The chain being served; one that waits is kept by who answers it, and another takes its place. */
  #chain = new Chain();
  readonly #call: MutableCall;
  #serving: DeviceQueue | undefined;
  /** The queues that bring requests, and the one whose buffers wait for what the host has to tell. */
  #served: readonly DeviceQueue[] = [];
  #notifications: DeviceQueue | undefined;
  #session: CallHandler | undefined;
  readonly #requestBytes: Uint8Array;
  readonly #replyBytes: Uint8Array;

  constructor(options: DeviceServerOptions) {
    this.#options = options;
    this.device = options.device;
    this.slot = options.slot;
    this.#call = newCall(() => this.#defer());
    this.#requestBytes = new Uint8Array(this.#call.request.buffer);
    this.#replyBytes = new Uint8Array(this.#call.reply.buffer);
    this.device.onReady = () => this.#sortQueues();
    this.device.onReset = () => this.#forgetGuest();
    this.device.onBroken = (reason) => options.log('error', `device needs reset: ${reason}`);
  }

  /** Looks at what a ring may be about: the slot's state, a fault, the registers. Tells whether there was anything. */
  attend(): boolean {
    const state = this.slot.state;
    if (state === CPU_DEAD) return this.#bury();
    if (state !== CPU_LIVE && state !== CPU_CLAIMED) return false;
    let worked = false;
    if (this.slot.takeFault()) {
      this.slot.answerFault(this.#options.mapper?.resolveFault() ?? EINVAL);
      worked = true;
    }
    if (this.device.service()) worked = true;
    return worked;
  }

  /** Serves the requests that are in the rings. */
  serve(): boolean {
    let worked = false;
    for (const queue of this.#served) if (this.#serve(queue)) worked = true;
    return worked;
  }

  /** Asks to be kicked; returns true when something is there already. */
  enableKicks(): boolean {
    let more = false;
    for (const queue of this.#served) if (queue.enableKicks()) more = true;
    return more;
  }

  disableKicks(): void {
    for (const queue of this.#served) queue.disableKicks();
  }

  /** The host stops: whatever the guest still has is taken back, and the device says that it is gone. */
  shutDown(): void {
    if (this.slot.state === CPU_DEAD) this.#bury();
    this.device.onBroken = () => {};
    this.device.breakDevice('the host has stopped');
    this.#forgetGuest();
  }

  /** SPEC: virtio 1.3, 5.11.2: the notification queue, if there is one, comes before the request queues. */
  #sortQueues(): void {
    const { queues, firstRequestQueue } = this.device;
    this.#notifications = firstRequestQueue > 1 ? queues[firstRequestQueue - 1] : undefined;
    this.#served = queues.filter((queue) => queue !== this.#notifications);
  }

  #serve(queue: DeviceQueue): boolean {
    let served = 0;
    this.#serving = queue;
    while (served < BURST && queue.take(this.#chain)) {
      const chain = this.#chain;
      const written = this.#answer(chain);
      if (chain === this.#chain) this.#put(queue, chain.head, written);
      served++;
    }
    if (served > 0 && queue.publish()) this.device.interrupt.ring();
    this.requests += served;
    return served > 0;
  }

  /** Gives the chain back: at once, or when those who cache what it changed have heard. */
  #put(queue: DeviceQueue, head: number, written: number): void {
    const { announcer } = this.#options;
    if (announcer?.hasTold !== true) {
      queue.put(head, written);
      return;
    }
    announcer.hold(() => {
      // Reset since: the chain is nobody's.
      if (queue.broken !== undefined) return;
      queue.put(head, written);
      if (queue.publish()) this.device.interrupt.ring();
    });
  }

  /** Handles the chain; returns the bytes written into it, none if it waits. */
  #answer(chain: Chain): number {
    const { memory } = this.#options;
    const { readable, writable } = chain;
    const call = this.#call;
    if (readable.size < IN_HEADER_SIZE) return this.#refuse(EINVAL, 'shorter than a request header');
    readSegments(memory, readable, 0, this.#requestBytes, 0, IN_HEADER_SIZE);
    const isWrite = InHeader.opcode.get(call.request, 0) === OPS.WRITE.code;
    const head = isWrite ? Math.min(readable.size, WRITE_HEAD) : readable.size;
    if (head > REQUEST_ROOM) return this.#refuse(ENOMEM, 'arguments larger than any request has');
    readSegments(memory, readable, IN_HEADER_SIZE, this.#requestBytes, IN_HEADER_SIZE, head - IN_HEADER_SIZE);
    call.requestSize = head;
    call.messageSize = readable.size;
    slice(readable, head, call.dataIn);
    slice(writable, OUT_HEADER_SIZE, call.dataOut);
    call.replyRoom = writable.size;
    call.replySize = 0;
    call.dataOutSize = 0;
    if (this.#options.bounce !== undefined) this.#bounceIn(this.#options.bounce);
    this.#session ??= this.#options.openSession(this.#notifications);
    this.#session.handle(call);
    const size = Math.min(call.replySize, writable.size);
    if (this.#options.bounce !== undefined) this.#bounceOut(this.#options.bounce);
    writeSegments(memory, writable, 0, this.#replyBytes, 0, size);
    return size + call.dataOutSize;
  }

  /** Lets the chain wait, however many others do: they are as many as its ring has entries at most. */
  #defer(): Deferred | undefined {
    if (this.#serving === undefined) return undefined;
    const deferred = new DeferredChain(this.device, this.#options.memory, this.#serving, this.#chain, this.#call);
    this.#chain = new Chain();
    return deferred;
  }

  /** The chain is well-formed, its content is not a request: an error reply if there is room for one. */
  #refuse(error: number, why: string): number {
    const { memory, log } = this.#options;
    log('error', `malformed request: ${why}`);
    const { readable, writable } = this.#chain;
    if (writable.size < OUT_HEADER_SIZE) return 0;
    const reply = this.#call.reply;
    const hasUnique = readable.size >= 16;
    if (hasUnique) readSegments(memory, readable, 8, this.#requestBytes, 8, 8);
    OutHeader.len.set(reply, 0, OUT_HEADER_SIZE);
    OutHeader.error.set(reply, 0, -error);
    const request = this.#call.request;
    const low = hasUnique ? InHeader.unique.low(request, 0) : 0;
    const high = hasUnique ? InHeader.unique.high(request, 0) : 0;
    OutHeader.unique.setWords(reply, 0, low, high);
    return writeSegments(memory, writable, 0, this.#replyBytes, 0, OUT_HEADER_SIZE);
  }

  #bounceIn(bounce: NonNullable<DeviceServerOptions['bounce']>): void {
    const { dataIn, dataOut } = this.#call;
    const size = Math.min(dataIn.size, bounce.size);
    if (size > 0) readSegments(this.#options.memory, dataIn, 0, bounce.bytes, bounce.at, size);
    dataIn.clear();
    if (size > 0) dataIn.push(bounce.at, size);
    const room = Math.min(dataOut.size, bounce.size);
    dataOut.clear();
    if (room > 0) dataOut.push(bounce.at, room);
  }

  #bounceOut(bounce: NonNullable<DeviceServerOptions['bounce']>): void {
    const size = this.#call.dataOutSize;
    if (size === 0) return;
    writeSegments(this.#options.memory, this.#chain.writable, OUT_HEADER_SIZE, bounce.bytes, bounce.at, size);
  }

  /** The guest's worker has ended: takes back everything it had, and makes its slot as new. */
  #bury(): boolean {
    this.#options.grace.bury(this.slot);
    // The dead driver writes no more, so its word is ours: a reset, as the hypervisor does to a device that lost its
    // guest.
    this.device.registers.set(REG.driverStatus, 0);
    this.device.service();
    this.#forgetGuest();
    this.#countLeaks();
    this.slot.recycle();
    this.#options.onGone?.();
    return true;
  }

  #countLeaks(): void {
    const pinned = this.slot.countPinned();
    if (pinned === 0) return;
    this.leakedPins += pinned;
    this.#options.log('warn', `a guest has ended with views of ${pinned} pages that it did not release`);
  }

  /** Drops everything the guest looked up, opened, mapped. SPEC: a device cannot count on REMOVEMAPPING or DESTROY. */
  #forgetGuest(): void {
    this.#session?.close();
    this.#session = undefined;
    this.#served = [];
    this.#notifications = undefined;
    this.#options.mapper?.clear();
  }
}

type MutableCall = { -readonly [K in keyof Call]: Call[K] };

function newCall(defer: () => Deferred | undefined): MutableCall {
  return {
    defer,
    request: new DataView(new ArrayBuffer(REQUEST_ROOM)),
    requestSize: 0,
    messageSize: 0,
    dataIn: new SegmentList(),
    reply: new DataView(new ArrayBuffer(REPLY_ROOM)),
    dataOut: new SegmentList(),
    replyRoom: 0,
    replySize: 0,
    dataOutSize: 0,
  };
}
