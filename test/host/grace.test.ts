/** Waiting for guests: how long, for whom, and what is said meanwhile. */
import { expect, test } from 'vitest';
import { CPU_DEAD, CPU_EPOCH, CPU_LIVE, CPU_SIZE, CPU_STATE } from '../../assembly/layout.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { InlineDoorbell } from '../../src/base/doorbell.ts';
import { CpuSlot } from '../../src/host/cpu-slot.ts';
import { type GraceOptions, GracePeriod } from '../../src/host/grace.ts';

/** Three guests; `inside` is the one that is in an access until `rounds` have passed. */
function build(inside: number, rounds: number, options: GraceOptions = {}) {
  const buffer = new ArrayBuffer(3 * CPU_SIZE);
  const words = new Int32Array(buffer);
  const word = (slot: number, at: number) => (slot * CPU_SIZE + at) >> 2;
  const slots = [0, 1, 2].map((slot) => {
    words[word(slot, CPU_STATE)] = CPU_LIVE;
    const place = { cpuAt: slot * CPU_SIZE, tableAt: 0, pinsAt: 0, rangeCount: 0 };
    return new CpuSlot(buffer, place, new InlineDoorbell());
  });
  words[word(inside, CPU_EPOCH)] = 7;
  const clock = new ManualClock();
  const said: string[] = [];
  let paused = 0;
  const grace = new GracePeriod(slots, {
    clock,
    log: (level, text) => said.push(`${level} ${text}`),
    pause: () => {
      clock.advance(1);
      if (++paused === rounds) words[word(inside, CPU_EPOCH)] = 8;
    },
    ...options,
  });
  const die = () => {
    words[word(inside, CPU_STATE)] = CPU_DEAD;
  };
  return { grace, said, paused: () => paused, die };
}

test('a live guest is waited for however long it takes; after a second the log says once which it is', () => {
  const { grace, said, paused } = build(1, 5000);
  grace.wait();
  expect(paused()).toBe(5000);
  expect(said).toEqual(['warn guest 1 has been inside one access for a second: everybody waits for it']);
});

test('nothing is said of a wait that is short', () => {
  const { grace, said } = build(2, 900);
  grace.wait();
  expect(said).toEqual([]);
});

test('a dead guest is not waited for much longer, nor is a live one when the host is told to stop', () => {
  const dead = build(0, 1e6);
  dead.die();
  dead.grace.wait();
  expect(dead.paused()).toBeLessThan(1000);
  const stopping = build(0, 1e6, { isStopping: () => true });
  stopping.grace.wait();
  expect(stopping.paused()).toBeLessThan(1000);
});
