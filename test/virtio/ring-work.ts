/** What workers.test.ts and its workers agree on. */
import type { DriverRing } from '../../src/virtio/driver.ts';
import { alignUp, type RingFeatures, ringAt, ringLayout } from '../../src/virtio/layout.ts';

export interface RingWork {
  readonly buffer: SharedArrayBuffer;
  readonly role: 'driver' | 'device';
  readonly features: RingFeatures;
  readonly size: number;
  readonly queues: number;
  /** Requests per queue. */
  readonly requests: number;
  /** How often a thread with nothing to do looks again before it sleeps. */
  readonly spins: number;
}

export interface RingReport {
  readonly role: 'driver' | 'device';
  readonly faults: readonly string[];
  /** How often the thread went to sleep. */
  readonly sleeps: number;
}

export const KICK_AT = 0;
export const INTERRUPT_AT = 64;
export const STARTED_AT = 128;
export const SLOT_SIZE = 32;
export const DATA_AT = 16384;
export const MEMORY_SIZE = 65536;

const RINGS_AT = 1024;
const RING_STRIDE = 4096;

export function ringOf(index: number, size: number): DriverRing {
  const at = RINGS_AT + index * RING_STRIDE;
  return { ...ringAt(at, size), indirectAt: alignUp(at + ringLayout(size).bytes, 16) };
}
