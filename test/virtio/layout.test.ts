import { expect, test } from 'vitest';
import { needEvent } from '../../src/base/ring-index.ts';
import * as layout from '../../src/virtio/layout.ts';
import fixture from '../fixtures/fuse-abi.json' with { type: 'json' };

const { constants, structs, split_ring_layouts: layouts } = fixture.virtio;

test('2.7 every part of a split virtqueue lies where the compiled layouts say', () => {
  const ours = layouts.map(({ num }) => {
    const ring = layout.ringAt(0, num);
    return {
      num,
      desc: { offset: ring.descAt, bytes: layout.VIRTQ_DESC_SIZE * num, align: layout.VIRTQ_DESC_ALIGN },
      avail: {
        offset: ring.availAt,
        bytes: layout.availSize(num),
        align: layout.VIRTQ_AVAIL_ALIGN,
        flags: ring.availAt + layout.VIRTQ_RING_FLAGS,
        idx: ring.availAt + layout.VIRTQ_RING_IDX,
        ring: ring.availAt + layout.VIRTQ_RING_ENTRIES,
        used_event: layout.usedEventAt(ring),
      },
      used: {
        offset: ring.usedAt,
        bytes: layout.usedSize(num),
        align: layout.VIRTQ_USED_ALIGN,
        flags: ring.usedAt + layout.VIRTQ_RING_FLAGS,
        idx: ring.usedAt + layout.VIRTQ_RING_IDX,
        ring: ring.usedAt + layout.VIRTQ_RING_ENTRIES,
        avail_event: layout.availEventAt(ring),
      },
      total_minimal: layout.ringLayout(num).bytes,
    };
  });
  expect(ours).toEqual(layouts);
});

test('2.7.5 a descriptor and a used element have the compiled sizes and offsets', () => {
  const offsets = structs.vring_desc.fields.map((field) => field.offset);
  expect(offsets).toEqual([
    layout.VIRTQ_DESC_ADDR,
    layout.VIRTQ_DESC_LEN,
    layout.VIRTQ_DESC_FLAGS,
    layout.VIRTQ_DESC_NEXT,
  ]);
  expect(layout.VIRTQ_DESC_SIZE).toBe(structs.vring_desc.size);
  expect(layout.VIRTQ_USED_ELEM_SIZE).toBe(structs.vring_used_elem.size);
});

test('the constants have the values of the kernel headers', () => {
  expect({
    VRING_DESC_F_NEXT: layout.VIRTQ_DESC_F_NEXT,
    VRING_DESC_F_WRITE: layout.VIRTQ_DESC_F_WRITE,
    VRING_DESC_F_INDIRECT: layout.VIRTQ_DESC_F_INDIRECT,
    VRING_USED_F_NO_NOTIFY: layout.VIRTQ_USED_F_NO_NOTIFY,
    VRING_AVAIL_F_NO_INTERRUPT: layout.VIRTQ_AVAIL_F_NO_INTERRUPT,
    VIRTIO_RING_F_INDIRECT_DESC: layout.VIRTIO_F_RING_INDIRECT_DESC,
    VIRTIO_RING_F_EVENT_IDX: layout.VIRTIO_F_RING_EVENT_IDX,
    VRING_AVAIL_ALIGN_SIZE: layout.VIRTQ_AVAIL_ALIGN,
    VRING_USED_ALIGN_SIZE: layout.VIRTQ_USED_ALIGN,
    VRING_DESC_ALIGN_SIZE: layout.VIRTQ_DESC_ALIGN,
    VIRTIO_F_VERSION_1: layout.VIRTIO_F_VERSION_1,
    VIRTIO_CONFIG_S_ACKNOWLEDGE: layout.VIRTIO_STATUS_ACKNOWLEDGE,
    VIRTIO_CONFIG_S_DRIVER: layout.VIRTIO_STATUS_DRIVER,
    VIRTIO_CONFIG_S_DRIVER_OK: layout.VIRTIO_STATUS_DRIVER_OK,
    VIRTIO_CONFIG_S_FEATURES_OK: layout.VIRTIO_STATUS_FEATURES_OK,
    VIRTIO_CONFIG_S_NEEDS_RESET: layout.VIRTIO_STATUS_DEVICE_NEEDS_RESET,
    VIRTIO_CONFIG_S_FAILED: layout.VIRTIO_STATUS_FAILED,
    VIRTIO_ID_FS: layout.VIRTIO_ID_FS,
    VIRTIO_FS_SHMCAP_ID_CACHE: layout.VIRTIO_FS_SHMCAP_ID_CACHE,
    VIRTIO_FS_F_NOTIFICATION: layout.VIRTIO_FS_F_NOTIFICATION,
  }).toEqual(expect.objectContaining(subset(constants)));
});

test('2.7.10 needEvent is true exactly when the event was passed, for every event and batch, across the wrap', () => {
  const wrong: string[] = [];
  for (let old = 65536 - 24; old < 65536 + 24; old++) {
    for (let batch = 0; batch <= 16; batch++) {
      for (let event = old - 24; event < old + 40; event++) {
        const isPassed = event >= old && event < old + batch;
        const got = needEvent(event & 0xffff, (old + batch) & 0xffff, old & 0xffff);
        if (got !== isPassed) wrong.push(`${event} ${old} +${batch}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('2.7 a ring is refused with the reason: size, alignment, place', () => {
  const fault = (change: Partial<layout.RingAddresses>) =>
    layout.ringFault({ ...layout.ringAt(0, 4), ...change }, 4096);
  expect([
    fault({}),
    fault({ size: 0 }),
    fault({ size: 6 }),
    fault({ size: 65536 }),
    fault({ descAt: 8 }),
    fault({ availAt: 65 }),
    fault({ usedAt: 82 }),
    fault({ descAt: 4096 }),
    fault({ usedAt: 2 ** 64 - 4096 }),
  ]).toEqual([
    undefined,
    'queue size 0 is not a power of two up to 32768',
    'queue size 6 is not a power of two up to 32768',
    'queue size 65536 is not a power of two up to 32768',
    'descriptor table at 8 is not aligned to 16',
    'available ring at 65 is not aligned to 2',
    'used ring at 82 is not aligned to 4',
    'descriptor table at 4096 lies outside the memory',
    `used ring at ${2 ** 64 - 4096} lies outside the memory`,
  ]);
});

/** The header's constants that this layer has; the packed ring and features it does not offer are left out. */
function subset(all: Record<string, number>): Record<string, number> {
  const absent = /PACKED|ACCESS_PLATFORM|IN_ORDER|ORDER_PLATFORM|SR_IOV|RING_RESET|PCI_CAP|NOTIFICATION_DATA/;
  return Object.fromEntries(Object.entries(all).filter(([name]) => !absent.test(name)));
}
