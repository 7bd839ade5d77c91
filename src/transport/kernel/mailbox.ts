/**
 * How the threads of one kernel mount talk, in the host's shared memory. Reading the device blocks, and so may a
 * notification to it; the host's thread does neither. A *reader* puts requests here and rings the host; the host
 * answers straight to the device; a *notifier* writes what the host has to tell.
 *
 *   words │ notifications (a ring of small slots) │ requests (a ring of large slots) │ one reply
 *
 * One mount's life (word STATE):
 *   free    → claimed: whoever mounts, by compare-and-exchange; it then writes the descriptor and the options
 *   claimed → offered: it is all there; the host is rung
 *   offered → open:    the host has a session for it
 *   offered, open → gone: the reader: the kernel has let go; whoever mounts, if the reader died
 *   gone    → closed:  the host has dropped the session; whoever mounts, if the host died. The notifier ends
 *   closed  → free:    whoever mounts: all threads have ended
 *
 * Both rings: the putter adds to one count, the taker to the other; a slot is the putter's until its count covers it,
 * then the taker's until the other count does.
 */
import { SharedDoorbell } from '../../base/doorbell.ts';
import { REPLY_ROOM } from '../../host/call.ts';
import { SESSION_DEFAULTS } from '../../host/session.ts';
import { WriteIn } from '../../wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { sizeOf } from '../../wire/struct.ts';

export const BOX_FREE = 0;
export const BOX_CLAIMED = 1;
export const BOX_OFFERED = 2;
export const BOX_OPEN = 3;
export const BOX_GONE = 4;
export const BOX_CLOSED = 5;

const PAGE_SIZE = 4096;
const WRITE_HEAD = IN_HEADER_SIZE + sizeOf(WriteIn);
const REQUESTS = 4;
const NOTIFIES = 256;
/** A header, a struct, a name of 255 bytes and its NUL fit. */
const NOTIFY_SIZE = 320;
const PAYLOAD_ROOM = Math.ceil(Math.max(SESSION_DEFAULTS.maxWrite, REPLY_ROOM) / PAGE_SIZE) * PAGE_SIZE;
/** Payloads start on page boundaries: what comes before them ends the page before. */
const REQUEST_ROOM = 2 * PAGE_SIZE + PAYLOAD_ROOM;
const REPLY_SIZE = PAGE_SIZE + PAYLOAD_ROOM;

// Byte offsets of words. Writers: see above for STATE; FD … CHECKS: whoever mounts, while it is claimed.
const STATE = 0;
const FD = 4;
const WRITEBACK = 8;
const ATTR_MS = 12;
const ENTRY_MS = 16;
const NEGATIVE_MS = 20;
const CHECKS = 28;
/** Writer: the host, before it opens: the number of its thread. */
const THREAD = 32;
/** Writer: whoever mounts: 1 = nobody will mount the device, end. */
const ABANDONED = 24;
/** Writer: whoever mounts: 1 = the host has died. */
const ORPHANED = 36;
/** Writer: the host: 1 = ring for requests. */
const WANTS_KICK = 64;
/** Requests put. Writer: the reader. */
const PUT = 128;
/** Sizes of the requests in the slots. Writer: the reader. */
const SIZES = 132;
/** Requests taken. Writers: the host; when that has died, whoever mounts. */
const TAKEN = 192;
/** Notifications put. Writer: the host. */
const NOTIFY_PUT = 256;
/** Notifications written. Writer: the notifier. */
const NOTIFY_DONE = 320;
/** Rings the notifier. Writers: the host, and whoever mounts. */
const NOTIFY_BELL = 384;

const NOTIFIES_AT = PAGE_SIZE;
const REQUESTS_AT = NOTIFIES_AT + Math.ceil((NOTIFIES * NOTIFY_SIZE) / PAGE_SIZE) * PAGE_SIZE;
const REPLY_AT = REQUESTS_AT + REQUESTS * REQUEST_ROOM;
/** Bytes of one mailbox. It starts on a page boundary. */
export const MAILBOX_SIZE = REPLY_AT + REPLY_SIZE;

export interface MailboxOptions {
  readonly fd: number;
  readonly writebackCache: boolean;
  readonly attrTimeoutMs: number;
  readonly entryTimeoutMs: number;
  readonly negativeTimeoutMs: number;
  readonly checksPermissions: boolean;
}

export class Mailbox {
  readonly buffer: ArrayBufferLike;
  /** Where the only reply is built: its payload starts on a page boundary. */
  readonly replyAt: number;
  readonly replySize = REPLY_SIZE - PAGE_SIZE + OUT_HEADER_SIZE;
  readonly requestSize = REQUEST_ROOM - PAGE_SIZE + WRITE_HEAD;
  readonly notifyBell: SharedDoorbell;
  readonly #at: number;
  readonly #words: Int32Array;

  constructor(buffer: ArrayBufferLike, at: number) {
    this.buffer = buffer;
    this.#at = at;
    this.#words = new Int32Array(buffer, at, PAGE_SIZE >> 2);
    this.replyAt = at + REPLY_AT + PAGE_SIZE - OUT_HEADER_SIZE;
    this.notifyBell = new SharedDoorbell(buffer, at + NOTIFY_BELL);
  }

  get state(): number {
    return this.#load(STATE);
  }

  /** Takes an edge of the state; false if it was not in `from`. */
  enter(from: number, to: number): boolean {
    // ORDER: whatever was written for the next state is visible to whoever sees it.
    return Atomics.compareExchange(this.#words, STATE >> 2, from, to) === from;
  }

  // ---- whoever mounts ------------------------------------------------------------------------------------------

  /** Claimed → offered. All counts start anew: nobody else looks at them yet. */
  offer(options: MailboxOptions): void {
    for (const word of [ABANDONED, ORPHANED, THREAD, WANTS_KICK, PUT, TAKEN, NOTIFY_PUT, NOTIFY_DONE])
      this.#store(word, 0);
    this.#store(FD, options.fd);
    this.#store(WRITEBACK, options.writebackCache ? 1 : 0);
    this.#store(ATTR_MS, milliseconds(options.attrTimeoutMs));
    this.#store(ENTRY_MS, milliseconds(options.entryTimeoutMs));
    this.#store(NEGATIVE_MS, milliseconds(options.negativeTimeoutMs));
    this.#store(CHECKS, options.checksPermissions ? 1 : 0);
    this.enter(BOX_CLAIMED, BOX_OFFERED);
  }

  options(): MailboxOptions {
    return {
      fd: this.#load(FD),
      writebackCache: this.#load(WRITEBACK) !== 0,
      attrTimeoutMs: this.#load(ATTR_MS),
      entryTimeoutMs: this.#load(ENTRY_MS),
      negativeTimeoutMs: this.#load(NEGATIVE_MS),
      checksPermissions: this.#load(CHECKS) !== 0,
    };
  }

  abandon(): void {
    this.#store(ABANDONED, 1);
  }

  get isAbandoned(): boolean {
    return this.#load(ABANDONED) !== 0;
  }

  /** The host has died: whoever waits for it shall not. */
  orphan(): void {
    this.#store(ORPHANED, 1);
    // ORDER: the reader reads the count, looks at the word, then waits for the count. Nobody uses the slot: it ends.
    Atomics.add(this.#words, TAKEN >> 2, 1);
    // ORDER: the count was changed before.
    Atomics.notify(this.#words, TAKEN >> 2);
  }

  get isOrphaned(): boolean {
    return this.#load(ORPHANED) !== 0;
  }

  /** Host: its thread, for whoever must know when that is gone. */
  set thread(number: number) {
    this.#store(THREAD, number);
  }

  get thread(): number {
    return this.#load(THREAD);
  }

  // ---- requests ------------------------------------------------------------------------------------------------

  /** Reader: waits until a slot is free; returns its index, or −1 if nobody will ever free one. */
  waitForSlot(): number {
    const put = this.#load(PUT);
    for (;;) {
      const taken = this.#load(TAKEN);
      if (this.isOrphaned) return -1;
      if (((put - taken) | 0) < REQUESTS) return (put >>> 0) % REQUESTS;
      // ORDER: the host adds to the count, then looks whether the ring was full, then notifies; orphan() adds, too.
      Atomics.wait(this.#words, TAKEN >> 2, taken);
    }
  }

  /** The slot's memory: a request's header at its start, WRITE's payload on a page boundary. */
  requestBytes(slot: number): Uint8Array {
    return new Uint8Array(this.buffer, this.requestAt(slot), this.requestSize);
  }

  requestAt(slot: number): number {
    return this.#at + REQUESTS_AT + slot * REQUEST_ROOM + PAGE_SIZE - WRITE_HEAD;
  }

  get slots(): number {
    return REQUESTS;
  }

  /** Reader: the slot is the host's now. Tells whether the host wants to be rung. */
  put(slot: number, size: number): boolean {
    this.#store(SIZES + slot * 4, size);
    // ORDER: publishes the slot; then the wish is loaded, which the host stores before it looks at this count.
    Atomics.add(this.#words, PUT >> 2, 1);
    return this.#load(WANTS_KICK) !== 0;
  }

  /** Host: the slot of the next request; −1 when there is none. */
  nextRequest(): number {
    const taken = this.#load(TAKEN);
    return this.#load(PUT) === taken ? -1 : (taken >>> 0) % REQUESTS;
  }

  sizeOfRequest(slot: number): number {
    return this.#load(SIZES + slot * 4);
  }

  /** Host: the slot is the reader's again. */
  taken(): void {
    // ORDER: nothing of the request is used any more. The reader waits only if it saw the ring full.
    const taken = Atomics.add(this.#words, TAKEN >> 2, 1);
    // ORDER: the count was changed before.
    if (((this.#load(PUT) - taken) | 0) >= REQUESTS) Atomics.notify(this.#words, TAKEN >> 2);
  }

  set wantsKick(isWanted: boolean) {
    this.#store(WANTS_KICK, isWanted ? 1 : 0);
  }

  // ---- notifications -------------------------------------------------------------------------------------------

  get notifiesDone(): number {
    return this.#load(NOTIFY_DONE);
  }

  /** Host: copies the message into the ring; false if the ring is full. Ring the bell when done putting. */
  putNotify(message: Uint8Array): boolean {
    const put = this.#load(NOTIFY_PUT);
    if (((put - this.#load(NOTIFY_DONE)) | 0) >= NOTIFIES) return false;
    this.notifySlot(put).set(message);
    // ORDER: publishes the slot.
    Atomics.add(this.#words, NOTIFY_PUT >> 2, 1);
    return true;
  }

  /** Notifier: the next message's place; undefined when there is none. */
  nextNotify(): Uint8Array | undefined {
    const done = this.#load(NOTIFY_DONE);
    return this.#load(NOTIFY_PUT) === done ? undefined : this.notifySlot(done);
  }

  /** Notifier: the message was written, or refused for good. */
  notified(): void {
    // ORDER: the kernel has heard; the host lets whoever waits for that go.
    Atomics.add(this.#words, NOTIFY_DONE >> 2, 1);
  }

  notifySlot(count: number): Uint8Array {
    const at = this.#at + NOTIFIES_AT + ((count >>> 0) % NOTIFIES) * NOTIFY_SIZE;
    return new Uint8Array(this.buffer, at, NOTIFY_SIZE);
  }

  #load(word: number): number {
    return Atomics.load(this.#words, word >> 2);
  }

  #store(word: number, value: number): void {
    // ORDER: words alone; what must be seen together is published by a count or by STATE.
    Atomics.store(this.#words, word >> 2, value);
  }
}

/** For ever is 24 days here. */
function milliseconds(ms: number): number {
  return Math.min(0x7fff_ffff, Math.round(ms));
}
