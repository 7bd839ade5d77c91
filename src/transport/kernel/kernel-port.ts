/**
 * The host's end of one shared mount: serves what its reader puts into the mailbox, and hands its notifier what others
 * have changed.
 *
 *   idle → open: a mount was offered; a session of the host's server is its client
 *   open → idle: the kernel has let go: the session is dropped, nobody waits for notifications any more
 */
import { type ByteString, setBytes } from '../../base/bytes.ts';
import type { Log } from '../../host/log.ts';
import type { HostPort } from '../../host/loop.ts';
import type { NotifyTarget } from '../../host/notify.ts';
import type { Server } from '../../host/server.ts';
import type { Session } from '../../host/session.ts';
import { NotifyDeleteOut, NotifyInvalEntryOut, NotifyInvalInodeOut, OutHeader } from '../../wire/fuse.ts';
import { type NodeId, OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { NOTIFIES } from '../../wire/ops.ts';
import { sizeOf } from '../../wire/struct.ts';
import { Answerer } from './answerer.ts';
import { DescriptorDevice } from './device.ts';
import { groupsOf } from './groups.ts';
import { BOX_CLOSED, BOX_GONE, BOX_OFFERED, BOX_OPEN, Mailbox } from './mailbox.ts';

/** Requests served before the others get their turn. */
const BURST = 64;
const NAME_MAX = 255;
const ARGS = OUT_HEADER_SIZE;

export interface KernelPortOptions {
  readonly server: Server;
  readonly buffer: ArrayBufferLike;
  /** Where the mailbox is. */
  readonly at: number;
  readonly name: string;
  readonly log: Log;
  /** Tells whoever mounts: INIT was agreed on; nothing is left. */
  readonly tell: (what: 'ready' | 'closed') => void;
}

interface Open {
  readonly session: Session;
  readonly answerer: Answerer;
}

/** Somebody waits until this many notifications were written. */
interface Waiter {
  readonly upTo: number;
  readonly done: () => void;
}

export class KernelPort implements HostPort, NotifyTarget {
  /** Requests served. */
  requests = 0;
  readonly #options: KernelPortOptions;
  readonly #box: Mailbox;
  readonly #requests: readonly DataView[];
  readonly #message = new Uint8Array(ARGS + sizeOf(NotifyDeleteOut) + NAME_MAX + 1);
  readonly #view = new DataView(this.#message.buffer);
  /** What the ring had no room for. */
  readonly #overflow: Uint8Array[] = [];
  readonly #waiters: Waiter[] = [];
  /** Notifications of this mount so far, those in the overflow included. */
  #told = 0;
  #open: Open | undefined;

  constructor(options: KernelPortOptions) {
    this.#options = options;
    this.#box = new Mailbox(options.buffer, options.at);
    this.#requests = Array.from({ length: this.#box.slots }, (_, slot) => {
      return new DataView(options.buffer, this.#box.requestAt(slot), this.#box.requestSize);
    });
  }

  get session(): Session | undefined {
    return this.#open?.session;
  }

  attend(): boolean {
    const { state } = this.#box;
    if (state === BOX_OFFERED) return this.#begin();
    if (state === BOX_GONE) return this.#end();
    return this.#open !== undefined && this.#hear();
  }

  serve(): boolean {
    if (this.#open === undefined) return false;
    let served = 0;
    for (let slot = this.#box.nextRequest(); slot >= 0 && served < BURST; slot = this.#box.nextRequest()) {
      const request = this.#requests[slot] as DataView;
      this.#open.answerer.answer(request, this.#box.requestAt(slot), this.#box.sizeOfRequest(slot));
      this.#box.taken();
      served++;
    }
    this.requests += served;
    return served > 0;
  }

  enableKicks(): boolean {
    if (this.#open === undefined) return false;
    this.#box.wantsKick = true;
    return this.#box.nextRequest() >= 0;
  }

  disableKicks(): void {
    if (this.#open !== undefined) this.#box.wantsKick = false;
  }

  /** The host stops. */
  shutDown(): void {
    this.#close();
  }

  tellInode(nodeid: NodeId, pos: number, size: number): void {
    NotifyInvalInodeOut.ino.set(this.#view, ARGS, nodeid);
    NotifyInvalInodeOut.off.set(this.#view, ARGS, pos);
    NotifyInvalInodeOut.len.set(this.#view, ARGS, size);
    this.#send(NOTIFIES.INVAL_INODE.code, ARGS + sizeOf(NotifyInvalInodeOut));
  }

  tellEntry(parent: NodeId, name: ByteString): void {
    NotifyInvalEntryOut.parent.set(this.#view, ARGS, parent);
    NotifyInvalEntryOut.namelen.set(this.#view, ARGS, name.length);
    NotifyInvalEntryOut.flags.set(this.#view, ARGS, 0);
    this.#sendNamed(NOTIFIES.INVAL_ENTRY.code, ARGS + sizeOf(NotifyInvalEntryOut), name);
  }

  tellDelete(parent: NodeId, child: NodeId, name: ByteString): void {
    NotifyDeleteOut.parent.set(this.#view, ARGS, parent);
    NotifyDeleteOut.child.set(this.#view, ARGS, child);
    NotifyDeleteOut.namelen.set(this.#view, ARGS, name.length);
    NotifyDeleteOut.padding.set(this.#view, ARGS, 0);
    this.#sendNamed(NOTIFIES.DELETE.code, ARGS + sizeOf(NotifyDeleteOut), name);
  }

  whenHeard(done: () => void): void {
    if (this.#open === undefined || this.#box.notifiesDone === this.#told) done();
    else this.#waiters.push({ upTo: this.#told, done });
  }

  #begin(): boolean {
    const { server, name, log, tell, buffer } = this.#options;
    const { fd, ...options } = this.#box.options();
    const session = server.openSession({ name, ...options, groupsOf });
    const device = new DescriptorDevice(fd);
    const { replyAt, replySize } = this.#box;
    const onReady = () => tell('ready');
    this.#open = { session, answerer: new Answerer({ device, session, buffer, replyAt, replySize, log, onReady }) };
    this.#told = 0;
    server.announcer.add(this);
    this.#box.enter(BOX_OFFERED, BOX_OPEN);
    return true;
  }

  #end(): boolean {
    this.#close();
    this.#box.enter(BOX_GONE, BOX_CLOSED);
    this.#box.notifyBell.ring();
    this.#options.tell('closed');
    return true;
  }

  #close(): void {
    if (this.#open === undefined) return;
    const { session } = this.#open;
    this.#open = undefined;
    this.#options.server.announcer.remove(this);
    session.close();
    this.#overflow.length = 0;
    for (const waiter of this.#waiters.splice(0)) waiter.done();
  }

  #sendNamed(code: number, nameAt: number, name: ByteString): void {
    const end = setBytes(this.#view, nameAt, name);
    this.#view.setUint8(end, 0);
    this.#send(code, end + 1);
  }

  #send(code: number, size: number): void {
    OutHeader.len.set(this.#view, 0, size);
    OutHeader.error.set(this.#view, 0, code);
    OutHeader.unique.setWords(this.#view, 0, 0, 0);
    const message = this.#message.subarray(0, size);
    this.#told = (this.#told + 1) | 0;
    if (this.#overflow.length > 0 || !this.#box.putNotify(message)) this.#overflow.push(message.slice());
    this.#box.notifyBell.ring();
  }

  /** Lets those go whose notifications were written, and refills the ring. */
  #hear(): boolean {
    const done = this.#box.notifiesDone;
    let count = 0;
    while (count < this.#overflow.length && this.#box.putNotify(this.#overflow[count] as Uint8Array)) count++;
    if (count > 0) {
      this.#overflow.splice(0, count);
      this.#box.notifyBell.ring();
    }
    let isHeard = false;
    // In the order they came: each waits for no less than the one before.
    for (
      let first = this.#waiters[0];
      first !== undefined && ((done - first.upTo) | 0) >= 0;
      first = this.#waiters[0]
    ) {
      this.#waiters.shift();
      first.done();
      isHeard = true;
    }
    return isHeard || count > 0;
  }
}
