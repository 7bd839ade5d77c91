/**
 * What both ends of a virtio-fs transport share: how it is built, which features there are, which queue has which
 * index, and how a driver lays its queues out in the memory it was handed.
 * SPEC: virtio 1.3, 5.11.2: hiprio is 0, the notification queue is 1 if negotiated, request queues follow.
 */
import type { Clock } from '../base/clock.ts';
import type { Doorbell } from '../base/doorbell.ts';
import type { DriverRing } from './driver.ts';
import {
  alignUp,
  type RingFeatures,
  ringAt,
  ringLayout,
  VIRTIO_F_RING_EVENT_IDX,
  VIRTIO_F_RING_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_FS_F_NOTIFICATION,
  VIRTQ_DESC_ALIGN,
  VIRTQ_DESC_SIZE,
} from './layout.ts';
import type { GuestMemory } from './memory.ts';
import { type FsConfig, featureSet, hasFeature, type Registers, type SharedMemoryRegion } from './registers.ts';

/** What both ends are built on; `kick` goes to the host, `interrupt` to the guest. */
export interface Transport {
  readonly registers: Registers;
  readonly memory: GuestMemory;
  readonly kick: Doorbell;
  readonly interrupt: Doorbell;
}

export interface VirtioDeviceOptions extends Transport {
  readonly config: FsConfig;
  /** Features offered, as a set of 64 bits. */
  readonly features?: bigint;
  readonly queueSizeMax?: number;
  /** The DAX window; without it the region is absent. */
  readonly window?: SharedMemoryRegion;
}

export interface VirtioDriverOptions extends Transport {
  readonly clock: Clock;
  /** Features wanted, as a set of 64 bits; those not offered are left out. */
  readonly features?: bigint;
}

/** What both ends know how to do, unless told otherwise. */
export const FEATURES_DEFAULT = featureSet(VIRTIO_F_VERSION_1, VIRTIO_F_RING_INDIRECT_DESC, VIRTIO_F_RING_EVENT_IDX);

export const QUEUE_SIZE_MAX_DEFAULT = 128;

/** Returns how many queues a device with these features has: 1 or 2 before the request queues. */
export function queueCount(features: bigint, numRequestQueues: number): number {
  return (hasFeature(features, VIRTIO_FS_F_NOTIFICATION) ? 2 : 1) + numRequestQueues;
}

/** Returns what negotiated `features` mean for the rings. */
export function ringFeatures(features: bigint): RingFeatures {
  return {
    eventIndex: hasFeature(features, VIRTIO_F_RING_EVENT_IDX),
    indirect: hasFeature(features, VIRTIO_F_RING_INDIRECT_DESC),
  };
}

/** What the guest gives a driver to build its queues in, and how many it wants. */
export interface DriverPlan {
  /** Where the queues' memory starts, a multiple of 16, and its size in bytes: see `driverMemorySize`. */
  readonly at: number;
  readonly size: number;
  /** Entries per queue, a power of two; cut to what the device allows. */
  readonly queueSize: number;
  /** How many request queues to use; cut to what the device has. */
  readonly requestQueueCount: number;
  /** Descriptors per indirect table; default: the queue size. */
  readonly indirectCount?: number;
}

/** Returns how many bytes `count` queues (all of them, hiprio too) need, with an indirect table for each entry. */
export function driverMemorySize(count: number, queueSize: number, indirectCount = queueSize): number {
  return count * (alignUp(ringLayout(queueSize).bytes, VIRTQ_DESC_ALIGN) + queueSize * indirectCount * VIRTQ_DESC_SIZE);
}

/** Returns where queue `index` of `size` entries lies in the memory of `plan`. */
export function plannedRing(plan: DriverPlan, index: number, size: number): DriverRing {
  const indirectCount = plan.indirectCount ?? plan.queueSize;
  const at = plan.at + index * driverMemorySize(1, plan.queueSize, indirectCount);
  const indirectAt = at + alignUp(ringLayout(size).bytes, VIRTQ_DESC_ALIGN);
  return { ...ringAt(at, size), indirectAt, indirectCount: Math.min(indirectCount, size) };
}

/** States of the host's side; negotiate.ts says what leads from one to another. */
export type DeviceState = 'reset' | 'negotiating' | 'live' | 'failed' | 'broken';

export const DEVICE_STATE_EDGES: Readonly<Record<DeviceState, readonly DeviceState[]>> = {
  reset: ['reset', 'negotiating'],
  negotiating: ['reset', 'live', 'failed', 'broken'],
  live: ['reset', 'failed', 'broken'],
  failed: ['reset', 'broken'],
  broken: ['reset'],
};
