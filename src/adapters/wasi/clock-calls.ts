/** Time and chance. */
import type { Timespec } from '../../base/clock.ts';
import * as a from './abi.ts';
import type { Program } from './program.ts';
import { timestamp } from './stat.ts';

/** What the clocks of browsers tell apart. */
const RESOLUTION_NS = 1000n;
const RANDOM_STEP = 65536;

export function clock_res_get(program: Program, clock: number, result: number): number {
  program.ram.look();
  return clock >>> 0 > a.CLOCK_MAX ? a.INVAL : program.ram.put64(result >>> 0, RESOLUTION_NS);
}

export function clock_time_get(program: Program, clock: number, _precision: bigint, result: number): number {
  program.ram.look();
  return clock >>> 0 > a.CLOCK_MAX ? a.INVAL : program.ram.put64(result >>> 0, clockNs(program, clock));
}

/** A clock's time in nanoseconds. No environment tells how long a program has computed: that is the time it ran. */
export function clockNs(program: Program, clock: number): bigint {
  const source = program.options.clock;
  if (clock === a.CLOCK_REALTIME) {
    const now: Timespec = { sec: 0, nsec: 0 };
    source.realtime(now);
    return timestamp(now.sec, now.nsec);
  }
  const since = clock === a.CLOCK_MONOTONIC ? 0 : program.startMs;
  return BigInt(Math.max(0, Math.floor((source.monotonicMs() - since) * 1e6)));
}

export function random_get(program: Program, buf: number, size: number): number {
  program.ram.look();
  const [at, end] = [buf >>> 0, (buf >>> 0) + (size >>> 0)];
  if (!program.ram.has(at, size >>> 0)) return a.FAULT;
  // By way of a buffer of ours: chance does not flow into shared memory.
  const step = new Uint8Array(Math.min(RANDOM_STEP, size >>> 0));
  for (let pos = at; pos < end; pos += step.length) {
    program.options.random(step);
    program.ram.bytes.set(step.subarray(0, end - pos), pos);
  }
  return a.SUCCESS;
}
