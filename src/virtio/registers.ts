/**
 * The transport's register block in shared memory, after virtio-mmio.
 *
 * A register of real hardware traps, so it can have two writers and be read with effects. A word of shared memory
 * cannot. So every word here has one writer, there is no selector (each queue has its own words), and the status is
 * three words: what the driver wrote, what the device says, and which driver's status the device has acted on.
 *
 * | at    | word                          | writer | as in virtio-mmio            |
 * |-------|-------------------------------|--------|------------------------------|
 * | 0x000 | MagicValue, Version, DeviceID | device | 0x000, 0x004, 0x008          |
 * | 0x00c | QueueCount                    | device | (none: a queue has size 0)   |
 * | 0x010 | DeviceFeatures low, high      | device | 0x010 with its selector      |
 * | 0x018 | DeviceStatus                  | device | 0x070, read                  |
 * | 0x01c | StatusSeen                    | device | (none: a trap is synchronous)|
 * | 0x020 | ConfigGeneration              | device | 0x0fc                        |
 * | 0x024 | ConfigInterrupts, a count     | device | 0x060, bit 1                 |
 * | 0x028 | SHMLen low, high              | device | 0x0b0 for region 0           |
 * | 0x030 | SHMBase low, high             | device | 0x0b8 for region 0           |
 * | 0x040 | DriverFeatures low, high      | driver | 0x020 with its selector      |
 * | 0x048 | DriverStatus                  | driver | 0x070, written               |
 * | 0x080 | struct virtio_fs_config       | device | 0x100                        |
 * | 0x100 | 16 queues of 48 bytes         | both   | 0x030 … 0x0a4                |
 *
 * One queue: +0 QueueNumMax (device); by the driver: +4 QueueNum, +8 QueueReady, +16 QueueDesc, +24 QueueDriver,
 * +32 QueueDevice (low, high each).
 *
 * ORDER: every access here is sequentially consistent. DriverStatus is stored last by the driver and publishes its
 * other words; StatusSeen is stored last by the device and publishes DeviceStatus.
 * SPEC: virtio 1.3, 4.2.2 (MMIO device register layout), 2.1 (device status field), 5.11.4 (configuration layout).
 */
import { assert } from '../base/assert.ts';
import { type RingAddresses, VIRTIO_FS_SHMCAP_ID_CACHE, VIRTIO_FS_TAG_SIZE, VIRTIO_ID_FS } from './layout.ts';

export const REGISTERS_SIZE = 0x400;
const REGISTERS_ALIGN = 4;
/** How many queues the block has room for. */
export const QUEUE_COUNT_MAX = 16;

/** "virt", little-endian. */
const VIRTIO_MMIO_MAGIC = 0x74726976;
const VIRTIO_MMIO_VERSION = 2;

/** Byte offsets of the words in the block; the table above says who writes them. */
export const REG = {
  magicValue: 0x000,
  version: 0x004,
  deviceId: 0x008,
  queueCount: 0x00c,
  deviceFeatures: 0x010,
  deviceStatus: 0x018,
  statusSeen: 0x01c,
  configGeneration: 0x020,
  configInterrupts: 0x024,
  shmLen: 0x028,
  shmBase: 0x030,
  driverFeatures: 0x040,
  driverStatus: 0x048,
  configTag: 0x080,
  configNumRequestQueues: 0x0a4,
  configNotifyBufSize: 0x0a8,
  queues: 0x100,
} as const;

/** Byte offsets inside one queue's words. */
export const QUEUE = { numMax: 0, num: 4, ready: 8, desc: 16, driver: 24, device: 32, stride: 48 } as const;

const TWO_32 = 0x1_0000_0000;
const ALL_ONES = 0xffff_ffff;

/** struct virtio_fs_config. */
export interface FsConfig {
  /** 1 … 36 bytes of UTF-8. */
  readonly tag: string;
  readonly numRequestQueues: number;
  /** Meaningful only with VIRTIO_FS_F_NOTIFICATION. */
  readonly notifyBufSize?: number;
}

/** A region of memory that the device shares with the driver. */
export interface SharedMemoryRegion {
  readonly base: number;
  readonly length: number;
}

/** Returns why a driver cannot use a device of this configuration: the checks that Linux makes. */
export function configFault(config: FsConfig): string | undefined {
  if (config.tag === '') return 'the tag is empty';
  if (config.tag.includes('\n')) return 'the tag has a newline';
  return config.numRequestQueues === 0 ? 'the device has no request queues' : undefined;
}

/** Returns the register `word` of queue `index`. */
export function queueRegister(index: number, word: number): number {
  assert(index < QUEUE_COUNT_MAX, 'the register block has no such queue');
  return REG.queues + index * QUEUE.stride + word;
}

export function featureSet(...bits: readonly number[]): bigint {
  let features = 0n;
  for (const bit of bits) features |= 1n << BigInt(bit);
  return features;
}

export function hasFeature(features: bigint, bit: number): boolean {
  return ((features >> BigInt(bit)) & 1n) === 1n;
}

/** One register block, by words and by meaning. Both ends have one; who may set which word is in the table above. */
export class Registers {
  readonly #words: Int32Array;

  /** `at` is the block's byte address, a multiple of 4. */
  constructor(buffer: ArrayBufferLike, at: number) {
    assert(at % REGISTERS_ALIGN === 0, 'registers are aligned to 4');
    this.#words = new Int32Array(buffer, at, REGISTERS_SIZE / 4);
  }

  get(register: number): number {
    return Atomics.load(this.#words, register >>> 2) >>> 0;
  }

  set(register: number, value: number): void {
    // ORDER: sequentially consistent; the status words publish what was set before them.
    Atomics.store(this.#words, register >>> 2, value | 0);
  }

  /** Writes who we are; last of all that a device sets up, for a driver looks here first. */
  identify(queueCount: number): void {
    this.set(REG.queueCount, queueCount);
    this.set(REG.deviceId, VIRTIO_ID_FS);
    this.set(REG.version, VIRTIO_MMIO_VERSION);
    this.set(REG.magicValue, VIRTIO_MMIO_MAGIC);
  }

  /** Tells whether a virtio-fs device of a version we know answers here. */
  get isVirtioFs(): boolean {
    if (this.get(REG.magicValue) !== VIRTIO_MMIO_MAGIC) return false;
    return this.get(REG.version) === VIRTIO_MMIO_VERSION && this.get(REG.deviceId) === VIRTIO_ID_FS;
  }

  /** Reads a set of 64 feature bits, bit n being the feature of number n. */
  getFeatures(register: number): bigint {
    return BigInt(this.get(register)) | (BigInt(this.get(register + 4)) << 32n);
  }

  setFeatures(register: number, features: bigint): void {
    this.set(register, Number(features & 0xffff_ffffn));
    this.set(register + 4, Number(features >> 32n));
  }

  /** Returns where the driver says queue `index` is, each word read once and none checked; undefined if not ready. */
  queue(index: number): RingAddresses | undefined {
    if (this.get(queueRegister(index, QUEUE.ready)) !== 1) return undefined;
    return {
      size: this.get(queueRegister(index, QUEUE.num)),
      descAt: this.#getU64(queueRegister(index, QUEUE.desc)),
      availAt: this.#getU64(queueRegister(index, QUEUE.driver)),
      usedAt: this.#getU64(queueRegister(index, QUEUE.device)),
    };
  }

  /** Makes queue `index` ready at `ring`, or not ready. */
  setQueue(index: number, ring: RingAddresses | undefined): void {
    this.set(queueRegister(index, QUEUE.num), ring?.size ?? 0);
    this.#setU64(queueRegister(index, QUEUE.desc), ring?.descAt ?? 0);
    this.#setU64(queueRegister(index, QUEUE.driver), ring?.availAt ?? 0);
    this.#setU64(queueRegister(index, QUEUE.device), ring?.usedAt ?? 0);
    this.set(queueRegister(index, QUEUE.ready), ring === undefined ? 0 : 1);
  }

  /** Returns the configuration as of one generation; undefined while the device is changing it. */
  config(): FsConfig | undefined {
    const generation = this.get(REG.configGeneration);
    const bytes = new Uint8Array(VIRTIO_FS_TAG_SIZE);
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.get(REG.configTag + (i & ~3)) >>> (8 * (i & 3));
    const numRequestQueues = this.get(REG.configNumRequestQueues);
    const notifyBufSize = this.get(REG.configNotifyBufSize);
    if (generation % 2 === 1 || this.get(REG.configGeneration) !== generation) return undefined;
    const end = bytes.indexOf(0);
    const tag = new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
    return { tag, numRequestQueues, notifyBufSize };
  }

  /** Replaces the configuration under a new generation; odd while it is being written. */
  setConfig(config: FsConfig): void {
    const tag = new TextEncoder().encode(config.tag);
    assert(tag.length <= VIRTIO_FS_TAG_SIZE, 'a tag is at most 36 bytes');
    const words = new Uint32Array(VIRTIO_FS_TAG_SIZE / 4);
    for (let i = 0; i < tag.length; i++)
      words[i >>> 2] = (words[i >>> 2] as number) | ((tag[i] as number) << (8 * (i & 3)));
    this.set(REG.configGeneration, this.get(REG.configGeneration) | 1);
    for (let i = 0; i < words.length; i++) this.set(REG.configTag + 4 * i, words[i] as number);
    this.set(REG.configNumRequestQueues, config.numRequestQueues);
    this.set(REG.configNotifyBufSize, config.notifyBufSize ?? 0);
    this.set(REG.configGeneration, this.get(REG.configGeneration) + 1);
  }

  /** SPEC: virtio 1.3, 4.2.2: a region that does not exist has a base and a length of all ones. */
  region(id: number): SharedMemoryRegion | undefined {
    if (id !== VIRTIO_FS_SHMCAP_ID_CACHE) return undefined;
    if (this.get(REG.shmLen) === ALL_ONES && this.get(REG.shmLen + 4) === ALL_ONES) return undefined;
    return { base: this.#getU64(REG.shmBase), length: this.#getU64(REG.shmLen) };
  }

  setRegion(region: SharedMemoryRegion | undefined): void {
    for (const register of [REG.shmLen, REG.shmBase]) {
      this.set(register, ALL_ONES);
      this.set(register + 4, ALL_ONES);
    }
    if (region === undefined) return;
    this.#setU64(REG.shmBase, region.base);
    this.#setU64(REG.shmLen, region.length);
  }

  /** Reads a low and a high word; rounded above 2^53, so that a range check fails. */
  #getU64(register: number): number {
    return this.get(register) + this.get(register + 4) * TWO_32;
  }

  #setU64(register: number, value: number): void {
    this.set(register, value % TWO_32);
    this.set(register + 4, Math.floor(value / TWO_32));
  }
}
