/**
 * The shared memory between the host's thread, which must wait for a foreign server's replies, and the thread that owns
 * the socket, which must not: Node has no socket that can be waited for. One request travels at a time.
 *
 *   words │ why │ request │ reply area 0 │ reply area 1
 *
 *   turn: idle → asked: the host has written a request;  asked → answered: the reply is there, or none is due;
 *         answered → idle: the host has looked at it
 *   link: connecting → open → gone
 *
 * Replies alternate between two areas: while the host looks at one, what else the server says comes into the other.
 */
import { assert } from '../../base/assert.ts';
import { messageRoom } from './framer.ts';

/** Writer: the socket's thread. */
const LINK = 0;
/** Writer: as the turn says. */
const TURN = 1;
/** Writer: the host. Bytes of the request. */
const REQUEST_SIZE = 2;
/** Writer: the host. 1 = a reply is due. */
const HAS_REPLY = 3;
/** Writer: the socket's thread. Bytes of the reply; 0 = none was due. */
const REPLY_SIZE = 4;
/** Writer: the socket's thread. Which area the reply is in. */
const REPLY_AREA = 5;
/** Writer: the socket's thread. Bytes at `why`. */
const WHY_SIZE = 6;
/** Writers: the socket's thread. Replies to nothing that was asked, and notifications; for the log. */
const STRAYS = 7;
const NOTIFIES = 8;
const WORDS = 16;

const WHY_AT = WORDS * 4;
const WHY_ROOM = 256;
const REQUEST_AT = WHY_AT + WHY_ROOM;

const LINK_OPEN = 1;
const LINK_GONE = 2;
const TURN_IDLE = 0;
const TURN_ASKED = 1;
const TURN_ANSWERED = 2;

/** How often a waiting host looks whether it shall stop. */
const LOOK_MS = 500;

export type Area = 0 | 1;

export class Bridge {
  readonly buffer: SharedArrayBuffer;
  readonly request: Uint8Array;
  readonly replies: readonly [Uint8Array, Uint8Array];
  readonly #words: Int32Array;

  /** Lays a bridge for messages with payloads of at most `maxWrite`, or uses the one that `buffer` holds. */
  constructor(buffer: SharedArrayBuffer) {
    const room = (buffer.byteLength - REQUEST_AT) / 3;
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, WORDS);
    this.request = new Uint8Array(buffer, REQUEST_AT, room);
    this.replies = [
      new Uint8Array(buffer, REQUEST_AT + room, room),
      new Uint8Array(buffer, REQUEST_AT + 2 * room, room),
    ];
  }

  static allocate(maxWrite: number): Bridge {
    const room = Math.ceil(messageRoom(maxWrite) / 64) * 64;
    return new Bridge(new SharedArrayBuffer(REQUEST_AT + 3 * room));
  }

  get isGone(): boolean {
    return Atomics.load(this.#words, LINK) === LINK_GONE;
  }

  /** Why the link is gone. */
  get why(): string {
    return new TextDecoder().decode(new Uint8Array(this.buffer, WHY_AT, this.#load(WHY_SIZE)).slice());
  }

  get strays(): number {
    return this.#load(STRAYS);
  }

  get notifies(): number {
    return this.#load(NOTIFIES);
  }

  // The host's end.

  /** Hands over the request that lies in `request`; the socket's thread must then be woken. */
  ask(size: number, hasReply: boolean): void {
    assert(this.#load(TURN) === TURN_IDLE, 'a request is asked while another is');
    this.#words[REQUEST_SIZE] = size;
    this.#words[HAS_REPLY] = hasReply ? 1 : 0;
    // ORDER: publishes the request and the two words; pairs with the load in `asked`.
    Atomics.store(this.#words, TURN, TURN_ASKED);
  }

  /** Waits for the answer: the bytes of the reply, 0 when none was due, −1 when the link is gone. */
  awaitAnswer(mustGiveUp: () => boolean): number {
    // The link is looked at after the turn was stored: whoever ends it stores link and turn in the other order.
    while (this.#load(TURN) === TURN_ASKED && !this.isGone) {
      if (mustGiveUp()) return -1;
      // ORDER: returns at once if the turn has moved since it was looked at; `answer` and `end` notify. An `end` that
      // comes between the look at the link and here is seen at the next look.
      Atomics.wait(this.#words, TURN, TURN_ASKED, LOOK_MS);
    }
    const size = this.#load(TURN) === TURN_ANSWERED ? this.#load(REPLY_SIZE) : -1;
    // ORDER: publishes nothing: the socket's thread looks only for the turn to be asked.
    Atomics.store(this.#words, TURN, TURN_IDLE);
    return size;
  }

  /** The area of the last reply. */
  get replyArea(): Area {
    return this.#load(REPLY_AREA) === 0 ? 0 : 1;
  }

  // The socket's end.

  open(): void {
    // ORDER: nothing is published with it.
    Atomics.store(this.#words, LINK, LINK_OPEN);
  }

  /** The bytes of the request that was asked, or 0. */
  get asked(): number {
    return this.#load(TURN) === TURN_ASKED ? this.#load(REQUEST_SIZE) : 0;
  }

  get isReplyDue(): boolean {
    return this.asked > 0 && this.#load(HAS_REPLY) === 1;
  }

  answer(size: number, area: Area): void {
    this.#words[REPLY_SIZE] = size;
    // What was not answered leaves the last reply where it is.
    if (size > 0) this.#words[REPLY_AREA] = area;
    // ORDER: publishes the reply and the two words; pairs with the loads in `awaitAnswer`.
    Atomics.store(this.#words, TURN, TURN_ANSWERED);
    // ORDER: the turn was stored before, so a waiter either sees it or is woken.
    Atomics.notify(this.#words, TURN);
  }

  countStray(): void {
    // ORDER: a count that nothing depends on.
    Atomics.add(this.#words, STRAYS, 1);
  }

  countNotify(): void {
    // ORDER: a count that nothing depends on.
    Atomics.add(this.#words, NOTIFIES, 1);
  }

  /** The link is gone, for good; the first reason counts. */
  end(why: string): void {
    if (this.isGone) return;
    const { written } = new TextEncoder().encodeInto(why, new Uint8Array(this.buffer, WHY_AT, WHY_ROOM));
    this.#words[WHY_SIZE] = written;
    // ORDER: publishes the reason; stored before the host is woken, which looks at it then.
    Atomics.store(this.#words, LINK, LINK_GONE);
    // ORDER: a waiter sleeps on the turn: it wakes, sees the turn unchanged and the link gone.
    Atomics.notify(this.#words, TURN);
  }

  #load(word: number): number {
    return Atomics.load(this.#words, word);
  }
}
