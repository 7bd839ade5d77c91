/**
 * poll_oneoff. Files and streams are always ready, as poll(2) has it for files: a stream's own `read` waits. So it
 * sleeps only if nothing but clocks is asked for.
 */
import * as a from './abi.ts';
import { clockNs } from './clock-calls.ts';
import type { Program } from './program.ts';
import type { Ram } from './ram.ts';
import { type Entry, isFile } from './table.ts';

const { R } = a;
const SUBSCRIPTIONS_MAX = 65536;
const NS_PER_MS = 1e6;
/** Longer sleeps are made of several. */
const SLEEP_MAX_MS = 2 ** 31 - 1;

interface Happening {
  readonly userdata: bigint;
  readonly type: number;
  readonly errno: number;
  readonly bytes: bigint;
}

interface Alarm {
  readonly userdata: bigint;
  readonly clock: number;
  readonly deadline: bigint;
}

export function poll_oneoff(program: Program, from: number, to: number, count: number, result: number): number {
  const { ram } = program;
  ram.look();
  const [input, output, size] = [from >>> 0, to >>> 0, count >>> 0];
  if (size === 0 || size > SUBSCRIPTIONS_MAX) return a.INVAL;
  if (!ram.has(input, size * a.SUBSCRIPTION_SIZE) || !ram.has(output, size * a.EVENT_SIZE)) return a.FAULT;
  if (!ram.has(result >>> 0, 4)) return a.FAULT;
  const happened: Happening[] = [];
  const alarms: Alarm[] = [];
  for (let i = 0; i < size; i++) {
    const errno = subscribe(program, input + i * a.SUBSCRIPTION_SIZE, happened, alarms);
    if (errno !== a.SUCCESS) return errno;
  }
  if (happened.length === 0) sleepUntil(program, alarms);
  for (const { userdata, clock, deadline } of alarms) {
    const isOver = clockNs(program, clock) >= deadline;
    if (isOver) happened.push({ userdata, type: a.EVENT_CLOCK, errno: a.SUCCESS, bytes: 0n });
  }
  for (const [i, each] of happened.entries()) putEvent(ram, output + i * a.EVENT_SIZE, each);
  return ram.put32(result >>> 0, happened.length);
}

function subscribe(program: Program, at: number, happened: Happening[], alarms: Alarm[]): number {
  const { view } = program.ram;
  const userdata = view.getBigUint64(at, true);
  const type = view.getUint8(at + 8);
  if (type === a.EVENT_CLOCK) {
    const clock = view.getUint32(at + 16, true);
    const timeout = view.getBigUint64(at + 24, true);
    const isAbsolute = (view.getUint16(at + 40, true) & a.CLOCK_ABSTIME) !== 0;
    if (clock > a.CLOCK_MAX) happened.push({ userdata, type, errno: a.INVAL, bytes: 0n });
    else alarms.push({ userdata, clock, deadline: isAbsolute ? timeout : clockNs(program, clock) + timeout });
    return a.SUCCESS;
  }
  if (type !== a.EVENT_FD_READ && type !== a.EVENT_FD_WRITE) return a.INVAL;
  const isRead = type === a.EVENT_FD_READ;
  const found = program.entry(view.getInt32(at + 16, true), R.POLL_FD_READWRITE | (isRead ? R.FD_READ : R.FD_WRITE));
  if (typeof found === 'number') happened.push({ userdata, type, errno: found, bytes: 0n });
  else happened.push({ userdata, type, errno: a.SUCCESS, bytes: isRead ? readable(found) : 1n });
  return a.SUCCESS;
}

/** Bytes to the end of a file; of a stream nobody knows. */
function readable(entry: Entry): bigint {
  if (!isFile(entry)) return 1n;
  const inode = entry.owner.fstat(entry.fd);
  const pos = entry.owner.lseek(entry.fd, 0, 1);
  return typeof inode === 'number' || pos < 0 ? 0n : BigInt(Math.max(0, inode.size - pos));
}

function sleepUntil(program: Program, alarms: readonly Alarm[]): void {
  for (;;) {
    let left = Number.POSITIVE_INFINITY;
    for (const { clock, deadline } of alarms) left = Math.min(left, Number(deadline - clockNs(program, clock)));
    if (left <= 0) return;
    program.options.sleep(Math.min(left / NS_PER_MS, SLEEP_MAX_MS));
  }
}

function putEvent({ bytes, view }: Ram, at: number, { userdata, type, errno, bytes: count }: Happening): void {
  bytes.fill(0, at, at + a.EVENT_SIZE);
  view.setBigUint64(at, userdata, true);
  view.setUint16(at + 8, errno, true);
  view.setUint8(at + 10, type);
  view.setBigUint64(at + 16, count, true);
}
