/**
 * Standard input for a program in a worker. A worker that reads a descriptor cannot be ended while it waits, so it asks
 * the main thread and waits in shared memory, where a signal reaches it.
 *
 *   idle → asked:  the worker wants bytes
 *   asked → given: the main thread has stored some; 0 is the end
 *   given → idle:  the worker has taken them
 */
const STATE = 0;
const COUNT = 1;
const IDLE = 0;
const ASKED = 1;
const GIVEN = 2;
const HEADER = 8;
const ROOM = 64 * 1024;

export function createInput(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER + ROOM);
}

/** The worker's end. */
export class InputReader {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #ask: () => void;
  #left = 0;
  #at = 0;

  /** `ask` sends the main thread a message. */
  constructor(shared: SharedArrayBuffer, ask: () => void) {
    this.#words = new Int32Array(shared, 0, 2);
    this.#bytes = new Uint8Array(shared, HEADER);
    this.#ask = ask;
  }

  /** A count, 0 at the end. */
  read(into: Uint8Array): number {
    if (this.#left === 0) this.#wait();
    const n = Math.min(this.#left, into.length);
    into.set(this.#bytes.subarray(this.#at, this.#at + n));
    this.#at += n;
    this.#left -= n;
    return n;
  }

  #wait(): void {
    // ORDER: idle → asked: the bytes of before were taken; the main thread stores new ones only after it saw this.
    Atomics.store(this.#words, STATE, ASKED);
    this.#ask();
    while (Atomics.load(this.#words, STATE) === ASKED) {
      // ORDER: pairs with the notify in `answer`.
      Atomics.wait(this.#words, STATE, ASKED);
    }
    this.#left = Atomics.load(this.#words, COUNT);
    this.#at = 0;
    // ORDER: given → idle: only this thread changes the word now.
    Atomics.store(this.#words, STATE, IDLE);
  }
}

/** The main thread's end: answers each question from a stream. */
export class InputAnswerer {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #stream: NodeJS.ReadStream;
  #isOver = false;

  constructor(shared: SharedArrayBuffer, stream: NodeJS.ReadStream) {
    this.#words = new Int32Array(shared, 0, 2);
    this.#bytes = new Uint8Array(shared, HEADER);
    this.#stream = stream;
    const end = () => {
      this.#isOver = true;
      this.#give();
    };
    stream.on('readable', () => this.#give());
    stream.once('end', end);
    stream.once('close', end);
    stream.once('error', end);
  }

  /** The worker has asked. */
  answer(): void {
    this.#give();
  }

  #give(): void {
    if (Atomics.load(this.#words, STATE) !== ASKED) return;
    const chunk: Buffer | null = this.#isOver ? null : this.#stream.read();
    if (chunk === null && !this.#isOver) return;
    const taken = chunk?.subarray(0, ROOM);
    if (chunk !== null && chunk.length > ROOM) this.#stream.unshift(chunk.subarray(ROOM));
    if (taken !== undefined) this.#bytes.set(taken);
    // ORDER: asked → given publishes the bytes and their count.
    Atomics.store(this.#words, COUNT, taken?.length ?? 0);
    Atomics.store(this.#words, STATE, GIVEN);
    // ORDER: wakes the worker, which looks at the state.
    Atomics.notify(this.#words, STATE);
  }
}
