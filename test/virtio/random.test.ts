/** Random chains through driver and device, against a model that only remembers what was asked. */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { Chain, SegmentList } from '../../src/virtio/chain.ts';
import { makePair, type Pair, partsOf } from './pair.ts';

const MEMORY_SIZE = 1 << 20;

interface Asked {
  readonly readable: [number, number][];
  readonly writable: [number, number][];
}

class Tester {
  readonly #prng: Prng;
  readonly #pair: Pair;
  readonly #asked = new Map<number, Asked>();
  /** Published tokens the device has not taken, then what it holds, then what it has put but not published. */
  #added: number[] = [];
  #published: number[] = [];
  #held: { token: number; head: number; room: number }[] = [];
  #put: { token: number; length: number }[] = [];
  #usable: { token: number; length: number }[] = [];
  #nextToken = 0;
  done = 0;

  constructor(seed: number, eventIndex: boolean, indirect: boolean) {
    this.#prng = new Prng(seed);
    const size = 2 ** this.#prng.below(6);
    this.#pair = makePair({ size, eventIndex, indirect, buffer: new ArrayBuffer(MEMORY_SIZE) });
  }

  step(): void {
    const { driver, device } = this.#pair;
    const action = this.#prng.below(7);
    if (action === 0) this.#add();
    else if (action === 1) this.#publish();
    else if (action === 2) this.#take();
    else if (action === 3) this.#putOne();
    else if (action === 4) this.#publishUsed();
    else if (action === 5) this.#takeUsed();
    else this.#toggle();
    expect([driver.broken, device.broken]).toEqual([undefined, undefined]);
    expect(driver.inFlight).toBe(this.#asked.size);
    driver.checkInvariants();
    device.checkInvariants();
  }

  #add(): void {
    const { driver } = this.#pair;
    const readable = this.#segments(this.#prng.below(driver.size + 1));
    const writable = this.#segments(this.#prng.below(driver.size + 1 - readable.count));
    const count = readable.count + writable.count;
    if (count === 0) return;
    const hadRoom = driver.freeCount >= count;
    const isAdded = driver.add(readable, writable, this.#nextToken);
    if (hadRoom) expect(isAdded).toBe(true);
    if (!isAdded) return;
    this.#asked.set(this.#nextToken, { readable: partsOf(readable), writable: partsOf(writable) });
    this.#added.push(this.#nextToken++);
  }

  #publish(): void {
    this.#pair.driver.publish();
    this.#published.push(...this.#added);
    this.#added = [];
  }

  #take(): void {
    const chain = new Chain();
    const token = this.#published.shift();
    expect(this.#pair.device.take(chain)).toBe(token !== undefined);
    if (token === undefined) return;
    expect({ readable: partsOf(chain.readable), writable: partsOf(chain.writable) }).toEqual(this.#asked.get(token));
    this.#held.push({ token, head: chain.head, room: chain.writable.size });
  }

  #putOne(): void {
    if (this.#held.length === 0) return;
    const [chosen] = this.#held.splice(this.#prng.below(this.#held.length), 1);
    const length = this.#prng.below((chosen?.room ?? 0) + 1);
    this.#pair.device.put(chosen?.head ?? -1, length);
    this.#put.push({ token: chosen?.token ?? -1, length });
  }

  #publishUsed(): void {
    this.#pair.device.publish();
    this.#usable.push(...this.#put);
    this.#put = [];
  }

  #takeUsed(): void {
    const { driver } = this.#pair;
    const expected = this.#usable.shift();
    expect(driver.takeUsed()).toBe(expected?.token ?? -1);
    if (expected === undefined) return;
    expect(driver.usedLength).toBe(expected.length);
    this.#asked.delete(expected.token);
    this.done++;
  }

  #toggle(): void {
    const { driver, device } = this.#pair;
    const which = this.#prng.below(4);
    if (which === 0) driver.disableInterrupts();
    else if (which === 1) expect(driver.enableInterrupts()).toBe(this.#usable.length > 0);
    else if (which === 2) device.disableKicks();
    else expect(device.enableKicks()).toBe(this.#published.length > 0);
  }

  #segments(max: number): SegmentList {
    const list = new SegmentList();
    const count = this.#prng.below(max + 1);
    for (let i = 0; i < count; i++) {
      const length = this.#prng.chance(0.1) ? 1 : 1 + this.#prng.below(5000);
      list.push(this.#prng.below(MEMORY_SIZE - length), length);
    }
    return list;
  }
}

const seed = Number(process.env['VIRTIO_SEED'] ?? Date.now() % 1_000_000);

test.each([
  [true, true],
  [true, false],
  [false, true],
  [false, false],
])(`random chains come through whole; replay with VIRTIO_SEED=${seed} (event index %s, indirect %s)`, (...modes) => {
  let done = 0;
  for (let round = 0; round < 20; round++) {
    const tester = new Tester(seed + round, ...modes);
    for (let step = 0; step < 300; step++) tester.step();
    done += tester.done;
  }
  expect(done).toBeGreaterThan(100);
});
