/**
 * How the two ends of a virtio-fs device agree before the first request: `VirtioDevice` (host), `VirtioDriver` (guest).
 *
 * The driver writes status bits, the device follows in `service`, which the host's loop calls whenever it was kicked.
 * After each step the device stores the driver's status in StatusSeen, so the driver knows it was heard, and refused
 * features differ from features not looked at yet. A reset is status 0; it is done when StatusSeen and DeviceStatus
 * are 0, and it works in every state. Device states:
 *
 *     reset → negotiating: the driver wrote its first status bit
 *     negotiating → live: DRIVER_OK, and every queue the driver made ready passed its checks
 *     negotiating, live → failed: the driver wrote FAILED
 *     negotiating, live, failed → broken: `breakDevice`, that is DEVICE_NEEDS_RESET
 *     any → reset: the driver wrote 0
 *
 * Queues: 0 is hiprio; 1 is the notification queue only if VIRTIO_FS_F_NOTIFICATION was negotiated; the request
 * queues follow. What they mean is not known here.
 * SPEC: virtio 1.3, 2.1 (status), 2.2 (features), 3.1.1 (initialization), 5.11.2 (virtqueues), 5.11.4 (configuration).
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { Doorbell } from '../base/doorbell.ts';
import { DeviceQueue } from './device.ts';
import { DriverQueue } from './driver.ts';
import {
  isQueueSize,
  type RingAddresses,
  ringFault,
  VIRTIO_F_VERSION_1,
  VIRTIO_STATUS_ACKNOWLEDGE,
  VIRTIO_STATUS_DEVICE_NEEDS_RESET,
  VIRTIO_STATUS_DRIVER,
  VIRTIO_STATUS_DRIVER_OK,
  VIRTIO_STATUS_FAILED,
  VIRTIO_STATUS_FEATURES_OK,
} from './layout.ts';
import type { GuestMemory } from './memory.ts';
import {
  configFault,
  type FsConfig,
  hasFeature,
  QUEUE,
  QUEUE_COUNT_MAX,
  queueRegister,
  REG,
  type Registers,
  type SharedMemoryRegion,
} from './registers.ts';
import {
  DEVICE_STATE_EDGES,
  type DeviceState,
  type DriverPlan,
  driverMemorySize,
  FEATURES_DEFAULT,
  plannedRing,
  QUEUE_SIZE_MAX_DEFAULT,
  queueCount,
  ringFeatures,
  type VirtioDeviceOptions,
  type VirtioDriverOptions,
} from './transport.ts';

const STATUS_PROBED = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
const STATUS_AGREED = STATUS_PROBED | VIRTIO_STATUS_FEATURES_OK;
const STATUS_LIVE = STATUS_AGREED | VIRTIO_STATUS_DRIVER_OK;

/** The host's side of one device. Its owner serves `queues` and calls `service` after every kick. */
export class VirtioDevice {
  readonly registers: Registers;
  readonly kick: Doorbell;
  readonly interrupt: Doorbell;
  /** Called when the driver has set DRIVER_OK and `queues` are there. */
  onReady: () => void = () => {};
  /** Called on reset, before the driver is told that it is done: nothing of the old session may be touched after it. */
  onReset: () => void = () => {};
  /** Called once per `breakDevice` that had an effect. */
  onBroken: (reason: string) => void = () => {};
  readonly #memory: GuestMemory;
  readonly #config: FsConfig;
  readonly #offered: bigint;
  readonly #queueSizeMax: number;
  #state: DeviceState = 'reset';
  #seen = 0;
  #status = 0;
  #features = 0n;
  #queues: readonly DeviceQueue[] = [];
  #broken: string | undefined = undefined;

  constructor(options: VirtioDeviceOptions) {
    this.registers = options.registers;
    this.kick = options.kick;
    this.interrupt = options.interrupt;
    this.#memory = options.memory;
    this.#config = options.config;
    this.#offered = options.features ?? FEATURES_DEFAULT;
    this.#queueSizeMax = options.queueSizeMax ?? QUEUE_SIZE_MAX_DEFAULT;
    assert(isQueueSize(this.#queueSizeMax), 'a queue size is a power of two');
    assert(this.#config.numRequestQueues >= 1, 'there is at least one request queue');
    const count = queueCount(this.#offered, this.#config.numRequestQueues);
    assert(count <= QUEUE_COUNT_MAX, 'the register block has room for 16 queues');
    this.#writeRegisters(count, options.window);
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** Why the device needs a reset, if it does. */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** The features agreed on; 0 before. */
  get features(): bigint {
    return this.#features;
  }

  /** The queues the driver made ready, while live: hiprio, notification if negotiated, requests. Else none. */
  get queues(): readonly DeviceQueue[] {
    return this.#queues;
  }

  /** Index of the first request queue. */
  get firstRequestQueue(): number {
    return queueCount(this.#features, 0);
  }

  /** Follows what the driver wrote to its status; tells whether there was anything new. */
  service(): boolean {
    const status = this.registers.get(REG.driverStatus);
    if (status === this.#seen) return false;
    const cleared = this.#seen & ~status;
    const set = status & ~this.#seen;
    if (status === 0) this.#reset();
    else if (this.#state !== 'broken') this.#follow(set, cleared);
    this.#seen = status;
    this.registers.set(REG.statusSeen, status);
    this.interrupt.ring();
    return true;
  }

  /** The driver broke the rules: sets DEVICE_NEEDS_RESET, tells the driver, and serves nothing until a reset. */
  breakDevice(reason: string): void {
    // Before the driver's first word there is no session to break, and nothing that a reset would end.
    if (this.#state === 'reset' || this.#state === 'broken') return;
    this.#enter('broken');
    this.#broken = reason;
    this.#closeQueues(reason);
    this.#setStatus(this.#status | VIRTIO_STATUS_DEVICE_NEEDS_RESET);
    this.#interruptConfig();
    this.onBroken(reason);
  }

  /** Changes the tag: a new configuration generation, and a configuration interrupt. */
  setTag(tag: string): void {
    this.registers.setConfig({ ...this.#config, tag });
    this.#interruptConfig();
  }

  #writeRegisters(count: number, window: SharedMemoryRegion | undefined): void {
    this.registers.set(REG.deviceStatus, 0);
    this.registers.set(REG.statusSeen, 0);
    this.registers.setFeatures(REG.deviceFeatures, this.#offered);
    for (let i = 0; i < QUEUE_COUNT_MAX; i++) {
      this.registers.set(queueRegister(i, QUEUE.numMax), i < count ? this.#queueSizeMax : 0);
    }
    this.registers.setConfig(this.#config);
    this.registers.setRegion(window);
    this.registers.identify(count);
  }

  #follow(set: number, cleared: number): void {
    if (this.#state === 'reset') this.#enter('negotiating');
    this.#setStatus(this.#status | (set & (STATUS_PROBED | VIRTIO_STATUS_FAILED)));
    if (cleared !== 0) {
      this.breakDevice('driver cleared status bits without a reset');
    } else if ((set & VIRTIO_STATUS_FAILED) !== 0) {
      this.#enter('failed');
      this.#closeQueues('the driver failed');
    } else {
      if ((set & VIRTIO_STATUS_FEATURES_OK) !== 0) this.#acceptFeatures();
      if ((set & VIRTIO_STATUS_DRIVER_OK) !== 0) this.#start();
    }
  }

  /** SPEC: virtio 1.3, 2.2.2: a refusal is FEATURES_OK that does not stick. */
  #acceptFeatures(): void {
    const features = this.registers.getFeatures(REG.driverFeatures);
    if ((features & ~this.#offered) !== 0n || !hasFeature(features, VIRTIO_F_VERSION_1)) return;
    this.#features = features;
    this.#setStatus(this.#status | VIRTIO_STATUS_FEATURES_OK);
  }

  #start(): void {
    const rings = this.#status === STATUS_AGREED ? this.#rings() : 'DRIVER_OK before the features were agreed';
    if (typeof rings === 'string') {
      this.breakDevice(rings);
      return;
    }
    const features = ringFeatures(this.#features);
    this.#queues = rings.map((ring, i) => {
      return new DeviceQueue(this.#memory, ring, features, (reason) => this.breakDevice(`queue ${i}: ${reason}`));
    });
    this.#enter('live');
    this.#setStatus(this.#status | VIRTIO_STATUS_DRIVER_OK);
    this.onReady();
  }

  /** Returns the queues the driver made ready, checked, or what is wrong with them. */
  #rings(): readonly RingAddresses[] | string {
    const rings: RingAddresses[] = [];
    const count = queueCount(this.#features, this.#config.numRequestQueues);
    for (let i = 0; i < count; i++) {
      const ring = this.registers.queue(i);
      if (ring === undefined) continue;
      if (i !== rings.length) return `queue ${i} is ready but queue ${rings.length} is not`;
      if (ring.size > this.#queueSizeMax) return `queue ${i}: size ${ring.size} is larger than ${this.#queueSizeMax}`;
      const fault = ringFault(ring, this.#memory.size);
      if (fault !== undefined) return `queue ${i}: ${fault}`;
      rings.push(ring);
    }
    return rings.length > this.firstRequestQueue ? rings : 'no request queue is ready';
  }

  #reset(): void {
    this.#closeQueues('the device was reset');
    this.#enter('reset');
    this.#broken = undefined;
    this.#features = 0n;
    this.onReset();
    this.#setStatus(0);
  }

  #closeQueues(reason: string): void {
    for (const queue of this.#queues) queue.close(reason);
    this.#queues = [];
  }

  #setStatus(status: number): void {
    this.#status = status;
    this.registers.set(REG.deviceStatus, status);
  }

  #interruptConfig(): void {
    this.registers.set(REG.configInterrupts, this.registers.get(REG.configInterrupts) + 1);
    this.interrupt.ring();
  }

  #enter(next: DeviceState): void {
    assert(DEVICE_STATE_EDGES[this.#state].includes(next), 'a device state follows its edges');
    this.#state = next;
  }
}

/** The guest's side of one device. Deadlines are times of its clock. */
export class VirtioDriver {
  readonly registers: Registers;
  readonly kick: Doorbell;
  readonly interrupt: Doorbell;
  readonly #memory: GuestMemory;
  readonly #clock: Clock;
  readonly #wanted: bigint;
  #features = 0n;
  #config: FsConfig = { tag: '', numRequestQueues: 0 };
  #queues: readonly DriverQueue[] = [];

  constructor(options: VirtioDriverOptions) {
    this.registers = options.registers;
    this.kick = options.kick;
    this.interrupt = options.interrupt;
    this.#memory = options.memory;
    this.#clock = options.clock;
    this.#wanted = options.features ?? FEATURES_DEFAULT;
  }

  /** The features agreed on by the last `probe`. */
  get features(): bigint {
    return this.#features;
  }

  /** The configuration as `probe` read it. */
  get config(): FsConfig {
    return this.#config;
  }

  /** All queues in use; after a reset still those of the session before, closed, for their unused tokens. */
  get queues(): readonly DriverQueue[] {
    return this.#queues;
  }

  /** Index of the first request queue: 2 with VIRTIO_FS_F_NOTIFICATION, else 1. */
  get firstRequestQueue(): number {
    return queueCount(this.#features, 0);
  }

  /** Tells whether the device has given up and only a reset helps. */
  get needsReset(): boolean {
    const status = this.registers.get(REG.deviceStatus);
    return (status & VIRTIO_STATUS_DEVICE_NEEDS_RESET) !== 0;
  }

  /** How often the device said that something besides its queues changed. */
  get configInterrupts(): number {
    return this.registers.get(REG.configInterrupts);
  }

  /**
   * Brings the device up: reset, features, queues, DRIVER_OK. Returns why it did not work, or undefined if it did.
   * SPEC: virtio 1.3, 3.1.1: the order of the steps.
   */
  probe(plan: DriverPlan, deadlineMs: number): string | undefined {
    if (!this.registers.isVirtioFs) return 'no virtio-fs device is here';
    const fault = this.reset(deadlineMs);
    if (fault !== undefined) return fault;
    const failure = this.#agree(deadlineMs) ?? this.#readConfig(deadlineMs) ?? this.#start(plan, deadlineMs);
    if (failure !== undefined) this.#giveUp(failure);
    return failure;
  }

  /** Ends the session whatever its state. Returns why the device did not follow, or undefined if it did. */
  reset(deadlineMs: number): string | undefined {
    for (const queue of this.#queues) queue.close('the device was reset');
    this.#setStatus(0);
    if (!this.#waitForSeen(0, deadlineMs)) return 'the device did not answer to a reset in time';
    // Only now: before the reset is done the device may still read these words.
    for (let i = 0; i < QUEUE_COUNT_MAX; i++) this.registers.setQueue(i, undefined);
    return undefined;
  }

  /** Returns where a region of shared memory is; undefined if the device has none of that id. */
  sharedMemoryRegion(id: number): SharedMemoryRegion | undefined {
    return this.registers.region(id);
  }

  #agree(deadlineMs: number): string | undefined {
    this.#setStatus(VIRTIO_STATUS_ACKNOWLEDGE);
    this.#setStatus(STATUS_PROBED);
    const offered = this.registers.getFeatures(REG.deviceFeatures);
    if (!hasFeature(offered, VIRTIO_F_VERSION_1)) return 'the device does not offer VIRTIO_F_VERSION_1';
    this.#features = offered & this.#wanted;
    this.registers.setFeatures(REG.driverFeatures, this.#features);
    this.#setStatus(STATUS_AGREED);
    if (!this.#waitForSeen(STATUS_AGREED, deadlineMs)) return 'the device did not answer to the features in time';
    const status = this.registers.get(REG.deviceStatus);
    return (status & VIRTIO_STATUS_FEATURES_OK) === 0 ? 'the device refused the features' : undefined;
  }

  #readConfig(deadlineMs: number): string | undefined {
    const isRead = this.#waitUntil(() => {
      const config = this.registers.config();
      this.#config = config ?? this.#config;
      return config !== undefined;
    }, deadlineMs);
    return isRead ? configFault(this.#config) : 'the configuration did not come to rest in time';
  }

  #start(plan: DriverPlan, deadlineMs: number): string | undefined {
    assert(plan.requestQueueCount >= 1, 'a driver uses at least one request queue');
    const requests = Math.min(plan.requestQueueCount, this.#config.numRequestQueues);
    const count = queueCount(this.#features, requests);
    if (count > this.registers.get(REG.queueCount)) return `the device has fewer than ${count} queues`;
    if (driverMemorySize(count, plan.queueSize, plan.indirectCount) > plan.size) return 'no memory for the queues';
    const queues: DriverQueue[] = [];
    for (let i = 0; i < count; i++) {
      const size = Math.min(plan.queueSize, this.registers.get(queueRegister(i, QUEUE.numMax)));
      if (!isQueueSize(size)) return `queue ${i} does not exist`;
      const ring = plannedRing(plan, i, size);
      queues.push(new DriverQueue(this.#memory, ring, ringFeatures(this.#features)));
      this.registers.setQueue(i, ring);
    }
    this.#queues = queues;
    this.#setStatus(STATUS_LIVE);
    if (!this.#waitForSeen(STATUS_LIVE, deadlineMs)) return 'the device did not answer to DRIVER_OK in time';
    return this.needsReset ? 'the device refused the queues' : undefined;
  }

  #giveUp(reason: string): void {
    for (const queue of this.#queues) queue.close(reason);
    this.#setStatus(this.registers.get(REG.driverStatus) | VIRTIO_STATUS_FAILED);
  }

  /** Waits until the device has acted on `status`; false if the deadline came first. */
  #waitForSeen(status: number, deadlineMs: number): boolean {
    return this.#waitUntil(() => this.registers.get(REG.statusSeen) === status, deadlineMs);
  }

  #waitUntil(isTrue: () => boolean, deadlineMs: number): boolean {
    for (;;) {
      const seen = this.interrupt.seen();
      if (isTrue()) return true;
      const leftMs = deadlineMs - this.#clock.monotonicMs();
      if (leftMs <= 0) return false;
      this.interrupt.wait(seen, leftMs);
    }
  }

  #setStatus(status: number): void {
    this.registers.set(REG.driverStatus, status);
    this.kick.ring();
  }
}
