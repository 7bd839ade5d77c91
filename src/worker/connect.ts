/**
 * A guest's end of an attachment: the driver brought up, a channel over its queues, the window. `mount` puts a FUSE
 * client on top; tests and tools of people who write drivers can use it as it is.
 */
import { CPU_BELL, CPU_CLAIMED, CPU_DEAD, CPU_GENERATION, CPU_LIVE, CPU_STATE } from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { type Doorbell, SharedDoorbell } from '../base/doorbell.ts';
import type { DaxExports } from '../dax/exports.ts';
import { DaxWindow } from '../dax/window.ts';
import type { Cpu } from '../guest/channel.ts';
import { NotifyQueue } from '../guest/notify-queue.ts';
import { VirtioChannel } from '../guest/virtio-channel.ts';
import { NOTIFY_BUF_SIZE } from '../host/guest-target.ts';
import { VIRTIO_F_RING_EVENT_IDX, VIRTIO_F_VERSION_1, VIRTIO_FS_F_NOTIFICATION } from '../virtio/layout.ts';
import { LocalMemory } from '../virtio/memory.ts';
import { VirtioDriver } from '../virtio/negotiate.ts';
import { featureSet, Registers } from '../virtio/registers.ts';
import {
  HEADER_HOST_BELL,
  HEADER_HOST_STATE,
  HOST_STOPPED,
  INDIRECT_COUNT,
  type MemoryMap,
  type SlotMap,
} from './memory-map.ts';

export interface ConnectOptions {
  readonly buffer: ArrayBufferLike;
  readonly wasm: DaxExports;
  readonly map: MemoryMap;
  readonly slot: number;
  readonly generation: number;
  readonly clock: Clock;
  /** Doorbells, unless they are the ones in shared memory. */
  readonly bells?: { readonly host: Doorbell; readonly guest: Doorbell };
  /** Looks before sleeping; 0 in one thread. */
  readonly spins: number;
  /** Takes notifications, if the device has them to give. */
  readonly notifications: boolean;
}

export interface Connection {
  readonly channel: VirtioChannel;
  /** Undefined when the device has no window. */
  readonly window: DaxWindow | undefined;
  readonly driver: VirtioDriver;
}

const PROBE_MS = 10_000;
/**
 * No indirect descriptors: a request has two to four segments, whose descriptors share a cache line or two in the ring
 * itself, and every line that goes from one core to the other costs as much as the rest of a small request's work.
 */
const FEATURES = featureSet(VIRTIO_F_VERSION_1, VIRTIO_F_RING_EVENT_IDX);

/** Takes the slot live, brings the device up. Throws an Error that says what is wrong; then the slot is given back. */
export function connect(options: ConnectOptions): Connection {
  const { buffer, map, clock, spins } = options;
  const place = map.slots[options.slot] as SlotMap;
  const seat = takeSeat(options, place);
  const { isDead } = seat;
  const memory = new LocalMemory(buffer);
  const driver = new VirtioDriver({
    registers: new Registers(buffer, place.registersAt),
    memory,
    kick: seat.host,
    interrupt: seat.bell,
    clock,
    features: options.notifications ? FEATURES | featureSet(VIRTIO_FS_F_NOTIFICATION) : FEATURES,
  });
  const plan = {
    at: place.ringsAt,
    size: place.ringsSize,
    queueSize: map.queueSize,
    requestQueueCount: map.requestQueues,
    indirectCount: INDIRECT_COUNT,
  };
  const fault = isDead() ? 'the host has stopped' : driver.probe(plan, clock.monotonicMs() + PROBE_MS);
  if (fault !== undefined) {
    seat.giveBack();
    throw new Error(`cannot mount: ${fault}`);
  }
  const hasWindow = driver.sharedMemoryRegion(0) !== undefined;
  const channel = new VirtioChannel({
    driver,
    buffer,
    requestAt: place.requestAt,
    dataAt: place.dataAt,
    dataSize: map.dataSize,
    bell: seat.bell,
    clock,
    spins,
    hasWindow,
    notifications: openNotifications(driver, memory, place, map, isDead),
    cpu: openCpu(options),
    isDead,
    onClose: seat.giveBack,
  });
  return { channel, window: hasWindow ? openWindow(options, place, seat) : undefined, driver };
}

/** A slot that is ours, the two doorbells, and how to tell that it is not ours any more. */
interface Seat {
  readonly host: Doorbell;
  readonly bell: Doorbell;
  readonly isDead: () => boolean;
  readonly giveBack: () => void;
}

function takeSeat({ buffer, bells, generation: mine }: ConnectOptions, place: SlotMap): Seat {
  const words = new Int32Array(buffer);
  const state = (place.cpuAt + CPU_STATE) >> 2;
  const generation = (place.cpuAt + CPU_GENERATION) >> 2;
  if (Atomics.load(words, generation) !== mine) throw new Error(USED);
  // ORDER: claimed → live: from here on the host waits for our epoch.
  if (Atomics.compareExchange(words, state, CPU_CLAIMED, CPU_LIVE) !== CPU_CLAIMED) throw new Error(USED);
  if (Atomics.load(words, generation) !== mine) {
    // ORDER: between the two looks the slot was taken back and claimed for another guest: it is still to come.
    Atomics.compareExchange(words, state, CPU_LIVE, CPU_CLAIMED);
    throw new Error(USED);
  }
  const host = bells?.host ?? new SharedDoorbell(buffer, HEADER_HOST_BELL);
  return {
    host,
    bell: bells?.guest ?? new SharedDoorbell(buffer, place.cpuAt + CPU_BELL),
    // Either the host has stopped, or it was told that we have: then the slot may be another guest's already.
    isDead: () =>
      Atomics.load(words, HEADER_HOST_STATE >> 2) === HOST_STOPPED || Atomics.load(words, generation) !== mine,
    giveBack: () => {
      if (Atomics.load(words, generation) !== mine) return;
      // ORDER: our last store: the host takes everything back and frees the slot.
      Atomics.compareExchange(words, state, CPU_LIVE, CPU_DEAD);
      host.ring();
    },
  };
}

/** Undefined: not agreed on. */
function openNotifications(
  driver: VirtioDriver,
  memory: LocalMemory,
  place: SlotMap,
  map: MemoryMap,
  isDead: () => boolean,
): NotifyQueue | undefined {
  const { queues, firstRequestQueue, config } = driver;
  const queue = queues[firstRequestQueue - 1];
  const bufferSize = config.notifyBufSize ?? 0;
  if (firstRequestQueue === 1 || queue === undefined) return undefined;
  assert(bufferSize * queue.size <= map.queueSize * NOTIFY_BUF_SIZE, 'the notification buffers fit their place');
  const isGone = () => isDead() || driver.needsReset;
  return new NotifyQueue({
    queue,
    memory,
    at: place.notifyAt,
    bufferSize,
    kick: driver.kick,
    bell: driver.interrupt,
    isGone,
  });
}

function openWindow({ buffer, wasm, map, generation, spins }: ConnectOptions, place: SlotMap, seat: Seat): DaxWindow {
  return new DaxWindow({
    exports: wasm,
    buffer,
    cpu: place.cpuAt,
    generation,
    tableAt: place.tableAt,
    pinsAt: place.pinsAt,
    rangeCount: map.rangeCount,
    hostBell: seat.host,
    guestBell: seat.bell,
    spins,
    isDead: seat.isDead,
  });
}

/** Slots are at most 256, and a slot's generation goes up with every guest that leaves it. */
const SLOT_BITS = 8;

export function slotOf(cpuNumber: number): number {
  return cpuNumber & ((1 << SLOT_BITS) - 1);
}

function openCpu({ buffer, map, slot, generation }: ConnectOptions): Cpu {
  const words = new Int32Array(buffer);
  const numberOf = (of: number, its: number) => ((its << SLOT_BITS) | of) & 0x7fff_ffff;
  return {
    number: numberOf(slot, generation),
    isLive: (number) => {
      const its = slotOf(number);
      const at = (map.slots[its]?.cpuAt ?? 0) >> 2;
      if (numberOf(its, Atomics.load(words, at + (CPU_GENERATION >> 2))) !== number) return false;
      return Atomics.load(words, at + (CPU_STATE >> 2)) === CPU_LIVE;
    },
  };
}

const USED = 'this attachment was used before: each guest needs its own, from host.attach()';
