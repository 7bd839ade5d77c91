/**
 * The host, put together over one memory: page cache, file system, server, and one virtio-fs device per guest slot.
 * It knows no worker: `host-worker.ts` runs its loop in a thread of its own, `inline.ts` steps it in the guest's.
 */
import { CPU_BELL } from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { type Doorbell, SharedDoorbell } from '../base/doorbell.ts';
import type { DaxExports } from '../dax/exports.ts';
import { CpuSlot } from '../host/cpu-slot.ts';
import { DeviceServer } from '../host/device-server.ts';
import type { FileSystem } from '../host/file-system.ts';
import { GracePeriod } from '../host/grace.ts';
import { GuestTarget, NOTIFY_BUF_SIZE } from '../host/guest-target.ts';
import type { Attr } from '../host/inode.ts';
import type { Log } from '../host/log.ts';
import { HostLoop, type HostPort } from '../host/loop.ts';
import { WindowMapper } from '../host/mapper.ts';
import { PageCache } from '../host/page-cache.ts';
import { MapCounts } from '../host/range-allocator.ts';
import { Server } from '../host/server.ts';
import type { Session } from '../host/session.ts';
import type { Relay } from '../transport/stream/relay.ts';
import { SegmentList } from '../virtio/chain.ts';
import type { DeviceQueue } from '../virtio/device.ts';
import { VIRTIO_FS_F_NOTIFICATION } from '../virtio/layout.ts';
import { LocalMemory } from '../virtio/memory.ts';
import { VirtioDevice } from '../virtio/negotiate.ts';
import { featureSet, Registers } from '../virtio/registers.ts';
import { FEATURES_DEFAULT } from '../virtio/transport.ts';
import type { HostSettings } from './host-options.ts';
import { HEADER_HOST_BELL, type MemoryMap, SCRATCH_SIZE, type SlotMap } from './memory-map.ts';

const NOTIFYING = featureSet(VIRTIO_FS_F_NOTIFICATION);

export interface HostCoreOptions {
  readonly buffer: ArrayBufferLike;
  readonly wasm: DaxExports;
  readonly map: MemoryMap;
  readonly settings: HostSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** What the guests are served from: a file system of ours … */
  readonly makeFileSystem?: (pageCache: PageCache, clock: Clock, log: Log) => FileSystem;
  /** … or somebody else's server. One of the two. */
  readonly relay?: Relay;
  /** What brings requests besides the guests' devices. */
  readonly makePorts?: (server: Server) => readonly CorePort[];
  /** Doorbells, unless they are the ones in shared memory: the host's, and one per guest. */
  readonly bells?: { readonly host: Doorbell; readonly guest: (index: number) => Doorbell };
  readonly idleLooks: number;
  readonly pause: (round: number) => void;
  readonly isStopping: () => boolean;
}

/** A port that is no guest's device. */
export interface CorePort extends HostPort {
  readonly requests: number;
  /** The host stops: everything its client had is taken back. */
  shutDown(): void;
}

/** What a host counted during its life. */
export interface HostReport {
  readonly requests: number;
  readonly sleeps: number;
  readonly graces: number;
  readonly filledPages: number;
  readonly evictedPages: number;
  readonly writtenBackPages: number;
  /** How often too many pages were dirty, and some were written back for that. */
  readonly dirtyLimits: number;
  readonly faults: number;
  /** Where the host chose the places of mappings: what was asked for, granted, asked back. */
  readonly maps: Readonly<MapCounts>;
  /** Inodes, frames and leaves in use when the host stopped, after all guests had gone. */
  readonly inodes: number;
  readonly usedFrames: number;
  /** Pages in frames then, and in how many runs of neighbouring frames they lay: few is good for views. */
  readonly residentPages: number;
  readonly residentRuns: number;
  /** Pages that guests still pinned, by views they did not release, when they ended. */
  readonly leakedPins: number;
}

export class HostCore {
  readonly pageCache: PageCache;
  readonly loop: HostLoop;
  readonly devices: readonly DeviceServer[];
  readonly slots: readonly CpuSlot[];
  readonly #options: HostCoreOptions;
  readonly #server: Server | undefined;
  readonly #relay: Relay | undefined;
  readonly #ports: readonly CorePort[];

  constructor(options: HostCoreOptions) {
    this.#options = options;
    const { buffer, wasm, map, clock, settings } = options;
    wasm.poolInit(map.poolAt, map.framesAt, map.frameCount, map.frameTableAt, map.bitmapAt);
    this.slots = map.slots.map((slot, index) => {
      return new CpuSlot(buffer, { ...slot, rangeCount: map.rangeCount }, options.bells?.guest(index));
    });
    const grace = new GracePeriod(this.slots, options);
    this.pageCache = new PageCache({ wasm, buffer, poolAt: map.poolAt, grace });
    this.#relay = options.relay;
    this.#server = this.#makeServer();
    const memory = new LocalMemory(buffer);
    this.devices = map.slots.map((slot, index) => this.#makeDevice(memory, slot, index));
    this.#ports = this.#server === undefined ? [] : (options.makePorts?.(this.#server) ?? []);
    this.loop = new HostLoop([...this.devices, ...this.#ports], {
      bell: options.bells?.host ?? new SharedDoorbell(buffer, HEADER_HOST_BELL),
      clock,
      idleLooks: options.idleLooks,
      writeBack: () => this.writeBack(),
      writeBackMs: settings.writeBackMs,
      isStopping: options.isStopping,
    });
  }

  /** The FUSE server over the file system; a host that relays has none. */
  get server(): Server {
    assert(this.#server !== undefined, 'a host that relays has no server of its own');
    return this.#server;
  }

  /** Writes dirty pages to the backing; what fails is logged now and reported by the file's next fsync. */
  writeBack(): void {
    this.pageCache.sweepLimbo();
    const error = this.#server?.fs.sync() ?? 0;
    if (error !== 0) this.#options.log('error', `write-back failed: errno ${error}`);
  }

  /** Ends all sessions, writes everything back, closes the backing. */
  stop(): HostReport {
    for (const port of this.#ports) port.shutDown();
    for (const device of this.devices) device.shutDown();
    this.writeBack();
    const report = this.report();
    this.#server?.fs.destroy();
    this.#relay?.close();
    return report;
  }

  report(): HostReport {
    let requests = 0;
    for (const port of [...this.devices, ...this.#ports]) requests += port.requests;
    return {
      requests,
      sleeps: this.loop.sleeps,
      graces: this.pageCache.grace.count,
      ...this.pageCache.counts,
      maps: { ...(this.#server?.mapCounts ?? new MapCounts()) },
      inodes: this.#server?.store.count ?? 0,
      usedFrames: this.pageCache.frameCount - this.pageCache.freeFrames,
      ...this.pageCache.contiguity(),
      leakedPins: this.devices.reduce((sum, device) => sum + device.leakedPins, 0),
    };
  }

  #makeDevice(memory: LocalMemory, slotMap: SlotMap, index: number): DeviceServer {
    const { buffer, map, settings, log, bells } = this.#options;
    const slot = this.slots[index] as CpuSlot;
    const mapper = this.#makeMapper(slot);
    const device = new VirtioDevice({
      registers: new Registers(buffer, slotMap.registersAt),
      memory,
      kick: bells?.host ?? new SharedDoorbell(buffer, HEADER_HOST_BELL),
      interrupt: bells?.guest(index) ?? new SharedDoorbell(buffer, slotMap.cpuAt + CPU_BELL),
      config: { tag: settings.tag, numRequestQueues: map.requestQueues, notifyBufSize: NOTIFY_BUF_SIZE },
      features: settings.told === undefined ? FEATURES_DEFAULT : FEATURES_DEFAULT | NOTIFYING,
      queueSizeMax: map.queueSize,
      // The window is no memory of its own: its base says where its page table starts, its length how much it maps.
      ...(mapper === undefined ? {} : { window: { base: slotMap.tableAt, length: map.windowSize } }),
    });
    const openSession = (queue: DeviceQueue | undefined) =>
      this.#relay?.openSession(`guest ${index}`) ?? this.#openSession(index, device, mapper, queue);
    const { grace } = this.pageCache;
    // Before another guest can pin anything through the same slot.
    const onGone = () => this.pageCache.sweepLimbo();
    const announcer = this.#server?.announcer;
    const heard = announcer === undefined ? {} : { announcer };
    return new DeviceServer({ device, memory, openSession, slot, grace, mapper, log, onGone, ...heard });
  }

  /** `queue`: the guest is told what others change. */
  #openSession(
    index: number,
    device: VirtioDevice,
    mapper: WindowMapper | undefined,
    queue: DeviceQueue | undefined,
  ): Session {
    const { settings, map, buffer } = this.#options;
    const { attrTimeoutMs, entryTimeoutMs, negativeTimeoutMs } = (queue && settings.told) ?? settings;
    const timeouts = { attrTimeoutMs, entryTimeoutMs, negativeTimeoutMs };
    const options = {
      name: `guest ${index}`,
      window: mapper,
      ...timeouts,
      maxWrite: map.dataSize,
      openFlags: settings.openFlags ?? 0,
      writebackCache: true,
      usesDax: (attr: Attr) => attr.size >= settings.daxFileSize,
      extensions: settings.extensions,
      recallBelow: settings.recallBelow ?? 0.2,
    };
    const session = this.server.openSession(options, this.slots[index]?.guest);
    if (queue === undefined) return session;
    const breakDevice = (reason: string) => device.breakDevice(reason);
    const { interrupt } = device;
    const memory = new LocalMemory(buffer);
    this.server.announcer.add(new GuestTarget({ session, queue, memory, interrupt, breakDevice }));
    return session;
  }

  #makeServer(): Server | undefined {
    const { makeFileSystem, relay, clock, log, map } = this.#options;
    assert((makeFileSystem === undefined) !== (relay === undefined), 'a host serves a file system or relays');
    if (makeFileSystem === undefined) return undefined;
    const scratch = new SegmentList();
    scratch.push(map.scratchAt, SCRATCH_SIZE);
    return new Server({ fs: makeFileSystem(this.pageCache, clock, log), clock, log, scratch });
  }

  /** Somebody else's server has no pages that a window could show. */
  #makeMapper(slot: CpuSlot): WindowMapper | undefined {
    if (this.#server === undefined || this.#options.map.rangeCount === 0) return undefined;
    return new WindowMapper(slot, this.pageCache, this.#server.store);
  }
}
