/**
 * A guest's end of an attachment: the driver brought up, a channel over its queues, the window. `mount` puts a FUSE
 * client on top; tests and tools of people who write drivers can use it as it is.
 */
import { CPU_BELL, CPU_CLAIMED, CPU_DEAD, CPU_GENERATION, CPU_LIVE, CPU_STATE } from '../../assembly/layout.ts';
import type { Clock } from '../base/clock.ts';
import { type Doorbell, SharedDoorbell } from '../base/doorbell.ts';
import type { DaxExports } from '../dax/exports.ts';
import { DaxWindow } from '../dax/window.ts';
import { VirtioChannel } from '../guest/virtio-channel.ts';
import { VIRTIO_F_RING_EVENT_IDX, VIRTIO_F_VERSION_1 } from '../virtio/layout.ts';
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
  const { buffer, map, clock } = options;
  const slot = map.slots[options.slot] as SlotMap;
  const words = new Int32Array(buffer);
  const state = (slot.cpuAt + CPU_STATE) >> 2;
  const generation = (slot.cpuAt + CPU_GENERATION) >> 2;
  if (!takeLive(words, state, generation, options.generation)) throw new Error(USED);
  const host = options.bells?.host ?? new SharedDoorbell(buffer, HEADER_HOST_BELL);
  const bell = options.bells?.guest ?? new SharedDoorbell(buffer, slot.cpuAt + CPU_BELL);
  // Either the host has stopped, or it was told that we have: then the slot may be another guest's already.
  const isDead = () =>
    Atomics.load(words, HEADER_HOST_STATE >> 2) === HOST_STOPPED ||
    Atomics.load(words, generation) !== options.generation;
  const giveBack = () => {
    if (Atomics.load(words, generation) !== options.generation) return;
    // ORDER: our last store: the host takes everything back and frees the slot.
    Atomics.compareExchange(words, state, CPU_LIVE, CPU_DEAD);
    host.ring();
  };
  const memory = new LocalMemory(buffer);
  const registers = new Registers(buffer, slot.registersAt);
  const driver = new VirtioDriver({ registers, memory, kick: host, interrupt: bell, clock, features: FEATURES });
  const plan = {
    at: slot.ringsAt,
    size: slot.ringsSize,
    queueSize: map.queueSize,
    requestQueueCount: map.requestQueues,
    indirectCount: INDIRECT_COUNT,
  };
  const fault = isDead() ? 'the host has stopped' : driver.probe(plan, clock.monotonicMs() + PROBE_MS);
  if (fault !== undefined) {
    giveBack();
    throw new Error(`cannot mount: ${fault}`);
  }
  const region = driver.sharedMemoryRegion(0);
  const channel = new VirtioChannel({
    driver,
    buffer,
    requestAt: slot.requestAt,
    dataAt: slot.dataAt,
    dataSize: map.dataSize,
    bell,
    clock,
    spins: options.spins,
    hasWindow: region !== undefined,
    isDead,
    onClose: giveBack,
  });
  const window =
    region === undefined
      ? undefined
      : new DaxWindow({
          exports: options.wasm,
          buffer,
          cpu: slot.cpuAt,
          generation: options.generation,
          tableAt: slot.tableAt,
          pinsAt: slot.pinsAt,
          rangeCount: map.rangeCount,
          hostBell: host,
          guestBell: bell,
          spins: options.spins,
          isDead,
        });
  return { channel, window, driver };
}

/** The slot, claimed for the guest of this generation, becomes live; false if it is another guest's. */
function takeLive(words: Int32Array, state: number, generation: number, own: number): boolean {
  if (Atomics.load(words, generation) !== own) return false;
  // ORDER: claimed → live: from here on the host waits for our epoch.
  if (Atomics.compareExchange(words, state, CPU_CLAIMED, CPU_LIVE) !== CPU_CLAIMED) return false;
  if (Atomics.load(words, generation) === own) return true;
  // ORDER: between the two looks the slot was taken back and claimed for another guest, who is still to come.
  Atomics.compareExchange(words, state, CPU_LIVE, CPU_CLAIMED);
  return false;
}

const USED = 'this attachment was used before: each guest needs its own, from host.attach()';
