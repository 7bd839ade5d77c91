/**
 * Where everything lies in the one shared memory. Planned once by whoever creates the host; a plain object, so that it
 * travels to workers in a message.
 *
 *   header │ guest slots │ mailboxes │ scratch │ pool struct │ frame table │ bitmap │ frames …
 *   one slot: cpu struct │ registers │ window table │ pins │ request area │ notifications │ rings │ data buffer
 */
import { CPU_SIZE, PAGE_SIZE, PMD_SIZE, POOL_SIZE, RANGE_PINS_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { REQUEST_AREA_SIZE } from '../guest/virtio-channel.ts';
import { NOTIFY_BUF_SIZE } from '../host/guest-target.ts';
import { MAILBOX_SIZE } from '../transport/kernel/mailbox.ts';
import { REGISTERS_SIZE } from '../virtio/registers.ts';
import { driverMemorySize } from '../virtio/transport.ts';

/** Header words. Nothing lives below: address 0 stays unused so that 0 can mean "none". */
const HEADER_AT = 1024;
/** Writer: guests and whoever controls the host, atomic add. */
export const HEADER_HOST_BELL = HEADER_AT;
/** 0 while starting, then HOST_*; writers: host starting → running → stopped; whoever saw the worker end: → stopped. */
export const HEADER_HOST_STATE = HEADER_AT + 4;
/** Writer: whoever created the host: 1 = stop. */
export const HEADER_STOP = HEADER_AT + 8;
/** How many guests there ever were: each has a number. Writer: whoever attaches, atomic add. */
export const HEADER_GUESTS = HEADER_AT + 12;
/** Descriptors per indirect table: a request has at most four segments. */
export const INDIRECT_COUNT = 8;

export const HOST_RUNNING = 1;
export const HOST_STOPPED = 2;

/** Host memory through which COPY_FILE_RANGE moves bytes. */
export const SCRATCH_SIZE = 128 * 1024;

const MIB = 1 << 20;
/** What wasm32 can address, but for the last page: an address may not wrap to 0, which means "none". */
const MEMORY_MAX = 4096 * MIB - 65536;

export interface MemoryOptions {
  /** Bytes of file pages: the page cache, or the memory file system itself. */
  readonly cacheSize: number;
  /** How many guests may be attached at once. */
  readonly guests: number;
  /** Bytes of each guest's DAX window; 0 = none. A multiple of 2 MiB otherwise. */
  readonly windowSize: number;
  /** Entries of each virtqueue, a power of two. */
  readonly queueSize: number;
  readonly requestQueues: number;
  /** Bytes of each guest's bounce buffer: the largest READ or WRITE. */
  readonly dataSize: number;
  /** How many mounts of the real kernel may be served besides (Linux); 0 = none, the default where there is none. */
  readonly kernelMounts?: number;
}

export interface SlotMap {
  readonly cpuAt: number;
  readonly registersAt: number;
  readonly tableAt: number;
  readonly pinsAt: number;
  readonly requestAt: number;
  /** Buffers for notifications: NOTIFY_BUF_SIZE bytes for each entry of a queue. */
  readonly notifyAt: number;
  readonly ringsAt: number;
  readonly ringsSize: number;
  readonly dataAt: number;
}

export interface MemoryMap extends MemoryOptions {
  readonly memorySize: number;
  readonly rangeCount: number;
  readonly slots: readonly SlotMap[];
  /** One mailbox per kernel mount. */
  readonly boxes: readonly number[];
  readonly scratchAt: number;
  readonly poolAt: number;
  readonly frameTableAt: number;
  readonly bitmapAt: number;
  readonly framesAt: number;
  readonly frameCount: number;
}

/** Plans the memory. Throws a RangeError that names the option which is wrong. */
export function planMemory(options: MemoryOptions): MemoryMap {
  checkOptions(options);
  const rangeCount = options.windowSize / RANGE_SIZE;
  const slots: SlotMap[] = [];
  let at = 4096;
  for (let i = 0; i < options.guests; i++) {
    const slot = planSlot(at, options, rangeCount);
    slots.push(slot.map);
    at = slot.end;
  }
  const frameCount = Math.floor(options.cacheSize / PAGE_SIZE);
  const boxesAt = align(at, PAGE_SIZE);
  const boxes = Array.from({ length: options.kernelMounts ?? 0 }, (_, i) => boxesAt + i * MAILBOX_SIZE);
  const scratchAt = boxesAt + boxes.length * MAILBOX_SIZE;
  const poolAt = scratchAt + SCRATCH_SIZE;
  const frameTableAt = poolAt + POOL_SIZE;
  const bitmapAt = frameTableAt + frameCount * 4;
  const framesAt = align(bitmapAt + Math.ceil(frameCount / 32) * 4 + 4, PAGE_SIZE);
  const memorySize = align(framesAt + frameCount * PAGE_SIZE, 65536);
  if (memorySize > MEMORY_MAX) throw new RangeError(`cacheSize ${options.cacheSize} does not fit into 4 GiB of memory`);
  const places = { scratchAt, poolAt, frameTableAt, bitmapAt, framesAt };
  return { ...options, ...places, memorySize, rangeCount, slots, boxes, frameCount };
}

function planSlot(start: number, options: MemoryOptions, rangeCount: number): { map: SlotMap; end: number } {
  const ringsSize = driverMemorySize(options.requestQueues + 2, options.queueSize, INDIRECT_COUNT);
  const cpuAt = align(start, 64);
  const registersAt = cpuAt + CPU_SIZE;
  const tableAt = registersAt + REGISTERS_SIZE;
  const pinsAt = tableAt + rangeCount * PMD_SIZE;
  const requestAt = align(pinsAt + rangeCount * RANGE_PINS_SIZE, 64);
  const notifyAt = align(requestAt + REQUEST_AREA_SIZE, 64);
  const ringsAt = notifyAt + options.queueSize * NOTIFY_BUF_SIZE;
  const dataAt = align(ringsAt + ringsSize, PAGE_SIZE);
  const map = { cpuAt, registersAt, tableAt, pinsAt, requestAt, notifyAt, ringsAt, ringsSize, dataAt };
  return { map, end: dataAt + align(options.dataSize, PAGE_SIZE) };
}

function checkOptions(options: MemoryOptions): void {
  const { cacheSize, guests, windowSize, queueSize, requestQueues, dataSize, kernelMounts = 0 } = options;
  check(Number.isInteger(guests) && guests >= 1 && guests <= 256, 'guests', guests, 'an integer from 1 to 256');
  check(Number.isInteger(cacheSize) && cacheSize >= 16 * PAGE_SIZE, 'cacheSize', cacheSize, 'at least 64 KiB');
  const isWindow =
    windowSize === 0 || (windowSize >= RANGE_SIZE && windowSize % RANGE_SIZE === 0 && windowSize <= 2 ** 40);
  check(isWindow, 'windowSize', windowSize, '0 (no DAX) or a multiple of 2 MiB: a smaller window has no range to map');
  const isPower =
    Number.isInteger(queueSize) && queueSize >= 4 && queueSize <= 1024 && (queueSize & (queueSize - 1)) === 0;
  check(isPower, 'queueSize', queueSize, 'a power of two from 4 to 1024');
  check(
    Number.isInteger(requestQueues) && requestQueues >= 1 && requestQueues <= 8,
    'requestQueues',
    requestQueues,
    '1 to 8',
  );
  check(
    Number.isInteger(dataSize) && dataSize >= PAGE_SIZE && dataSize <= 16 * MIB,
    'dataSize',
    dataSize,
    '4 KiB to 16 MiB',
  );
  const isMounts = Number.isInteger(kernelMounts) && kernelMounts >= 0 && kernelMounts <= 64;
  check(isMounts, 'kernelMounts', kernelMounts, 'an integer from 0 to 64');
}

function check(isRight: boolean, name: string, value: number, wanted: string): void {
  if (!isRight) throw new RangeError(`${name} is ${value}: it must be ${wanted}`);
}

function align(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}
