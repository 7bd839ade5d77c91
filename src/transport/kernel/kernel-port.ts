/**
 * The host's end of one shared mount: serves what its reader puts into the mailbox, and hands its notifier what others
 * have changed.
 *
 *   idle → open: a mount was offered; a session of the host's server is its client
 *   open → idle: the kernel has let go: the session is dropped, nobody waits for notifications any more
 */
import type { ByteString } from '../../base/bytes.ts';
import type { Log } from '../../host/log.ts';
import type { HostPort } from '../../host/loop.ts';
import type { NotifyTarget } from '../../host/notify.ts';
import { NotifyMessage } from '../../host/notify-message.ts';
import type { Server } from '../../host/server.ts';
import type { Session } from '../../host/session.ts';
import type { NodeId } from '../../wire/ids.ts';
import { NOTIFIES } from '../../wire/ops.ts';
import { Answerer } from './answerer.ts';
import { DescriptorDevice } from './device.ts';
import { groupsOf } from './groups.ts';
import { threadNumber } from './guard.ts';
import { BOX_CLOSED, BOX_GONE, BOX_OFFERED, BOX_OPEN, Mailbox } from './mailbox.ts';
import { NotifyQueue } from './notify-queue.ts';

/** Requests served before the others get their turn. */
const BURST = 64;
/** Notifications that may wait for room in the ring. */
const WAITING_MAX = 4096;

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
  readonly notifies: NotifyQueue;
}

export class KernelPort implements HostPort, NotifyTarget {
  /** Requests served. */
  requests = 0;
  readonly #options: KernelPortOptions;
  readonly #box: Mailbox;
  readonly #requests: readonly DataView[];
  readonly #message = new NotifyMessage();
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
    return this.#open !== undefined && this.#hear(this.#open.notifies);
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
    this.#open?.notifies.inode(nodeid, pos, size);
    this.#box.notifyBell.ring();
  }

  tellEntry(parent: NodeId, name: ByteString): void {
    this.#tellName(parent, name, this.#entryMessage(parent, name));
  }

  tellDelete(parent: NodeId, child: NodeId, name: ByteString): void {
    this.#message.removal(parent, child, name);
    this.#tellName(parent, name, this.#built());
  }

  whenHeard(done: () => void): void {
    if (this.#open === undefined) done();
    else this.#open.notifies.whenHeard(done);
  }

  #begin(): boolean {
    const { server, name, log, tell, buffer } = this.#options;
    const { fd, ...options } = this.#box.options();
    const session = server.openSession({ name, ...options, groupsOf });
    const device = new DescriptorDevice(fd);
    const { replyAt, replySize } = this.#box;
    const onReady = () => tell('ready');
    const answerer = new Answerer({ device, session, buffer, replyAt, replySize, log, onReady });
    this.#open = { session, answerer, notifies: this.#queueFor(session) };
    server.announcer.add(this);
    this.#box.thread = threadNumber();
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
    const { session, notifies } = this.#open;
    this.#open = undefined;
    this.#options.server.announcer.remove(this);
    session.close();
    notifies.close();
  }

  #queueFor(session: Session): NotifyQueue {
    return new NotifyQueue({
      box: this.#box,
      limit: WAITING_MAX,
      inode: (nodeid, pos, size) => {
        this.#message.inode(nodeid, pos, size);
        return this.#built();
      },
      allNames: () => {
        if (session.negotiated.minor < NOTIFIES.INC_EPOCH.since) return undefined;
        this.#message.everything();
        return this.#built();
      },
      known: () => session.lookups.nodeids(),
    });
  }

  #entryMessage(parent: NodeId, name: ByteString): Uint8Array {
    this.#message.entry(parent, name);
    return this.#built();
  }

  /** In place: the next one is built over it. */
  #built(): Uint8Array {
    return this.#message.bytes.subarray(0, this.#message.size);
  }

  #tellName(parent: NodeId, name: ByteString, message: Uint8Array): void {
    this.#open?.notifies.name(`${parent}/${name}`, message, () => this.#entryMessage(parent, name));
    this.#box.notifyBell.ring();
  }

  #hear(notifies: NotifyQueue): boolean {
    const hasWorked = notifies.hear();
    if (hasWorked) this.#box.notifyBell.ring();
    return hasWorked;
  }
}
