/** Page cache, mapper and window of some guests in one thread: faults are answered by running the mapper. */
import { CPU_EPOCH } from '../../assembly/layout.ts';
import { InlineDoorbell } from '../../src/base/doorbell.ts';
import { DaxWindow } from '../../src/dax/window.ts';
import type { AddressSpace } from '../../src/host/address-space.ts';
import type { CpuSlot } from '../../src/host/cpu-slot.ts';
import { Inode } from '../../src/host/inode.ts';
import { WindowMapper } from '../../src/host/mapper.ts';
import { S_IFREG } from '../../src/wire/mode.ts';
import { createTestPages, type TestPages } from './pages.ts';

export class FileInode extends Inode {
  readonly type = S_IFREG;
  readonly space: AddressSpace;
  constructor(space: AddressSpace) {
    super();
    this.space = space;
  }
}

export interface MappedWorld extends TestPages {
  readonly windows: readonly DaxWindow[];
  readonly mappers: readonly WindowMapper[];
  readonly held: Map<Inode, number>;
  /** The epoch word of a guest, to play a guest that is inside an access. */
  epoch(guest: number): { value: number };
  check(): void;
}

export function createMappedWorld(options: { frames?: number; guests?: number; ranges?: number } = {}): MappedWorld {
  const pages = createTestPages(options);
  const held = new Map<Inode, number>();
  const holder = {
    hold: (inode: Inode) => void held.set(inode, (held.get(inode) ?? 0) + 1),
    release: (inode: Inode) => void held.set(inode, (held.get(inode) ?? 0) - 1),
  };
  const mappers = pages.slots.map((slot) => new WindowMapper(slot, pages.pageCache, holder));
  const windows = pages.slots.map((slot, index) => makeWindow(pages, slot, mappers[index] as WindowMapper));
  return {
    ...pages,
    windows,
    mappers,
    held,
    epoch: (guest) => {
      const words = new Int32Array(pages.memory.buffer, (pages.slots[guest] as CpuSlot).place.cpuAt + CPU_EPOCH, 1);
      return {
        get value() {
          return words[0] as number;
        },
        set value(next) {
          words[0] = next;
        },
      };
    },
    check: () => {
      pages.pageCache.checkInvariants();
      for (const mapper of mappers) mapper.checkInvariants();
    },
  };
}

function makeWindow(pages: TestPages, slot: CpuSlot, mapper: WindowMapper): DaxWindow {
  const answer = () => {
    if (slot.takeFault()) slot.answerFault(mapper.resolveFault());
  };
  return new DaxWindow({
    exports: pages.wasm,
    buffer: pages.memory.buffer,
    cpu: slot.place.cpuAt,
    tableAt: slot.place.tableAt,
    pinsAt: slot.place.pinsAt,
    rangeCount: slot.place.rangeCount,
    hostBell: new InlineDoorbell(),
    guestBell: new InlineDoorbell(answer),
    spins: 0,
  });
}
