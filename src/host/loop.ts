/**
 * The host's loop: one thread serves all guests' queues and faults, sleeps when there is nothing to do, and writes
 * dirty pages back on a timer.
 *
 * While awake the host looks at the rings itself and asks for no kicks. Before it sleeps it asks for kicks, looks once
 * more, and sleeps only on a doorbell count taken before that look: no request is slept through.
 *
 * INVARIANT: whatever is not a request in a ring (faults, status registers, slots taken and left, the order to stop) is
 * stored first and rung for then, always. So a round looks at those words only when the count has moved.
 */
import type { Clock } from '../base/clock.ts';
import type { Doorbell } from '../base/doorbell.ts';

/** Something that brings requests: a guest's device, or a mount of a real kernel. */
export interface HostPort {
  /** Looks at what a ring may be about besides requests. Tells whether there was anything. */
  attend(): boolean;
  /** Serves the requests that are there. Tells whether there were any. */
  serve(): boolean;
  /** Asks to be rung for requests; returns true when something is there already. */
  enableKicks(): boolean;
  disableKicks(): void;
}

export interface HostLoopOptions {
  readonly bell: Doorbell;
  readonly clock: Clock;
  /** Looks without work before going to sleep. */
  readonly idleLooks: number;
  /** Called every `writeBackMs`: writes back dirty pages. */
  readonly writeBack: () => void;
  readonly writeBackMs: number;
  /** Tells that the loop shall end. */
  readonly isStopping: () => boolean;
}

export class HostLoop {
  /** How often the host slept. */
  sleeps = 0;
  readonly #options: HostLoopOptions;
  readonly #ports: readonly HostPort[];
  #nextWriteBackMs: number;

  constructor(ports: readonly HostPort[], options: HostLoopOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#nextWriteBackMs = options.clock.monotonicMs() + options.writeBackMs;
  }

  /** Serves until told to stop. Blocks the thread. */
  run(): void {
    const { bell, idleLooks, isStopping } = this.#options;
    let idle = 0;
    let attended = bell.seen() - 1;
    for (let round = 1; ; round++) {
      const seen = bell.seen();
      const isRung = seen !== attended;
      if (isRung && isStopping()) return;
      attended = seen;
      // The clock costs as much as a look at a ring: a busy host reads it now and then only.
      if (round % 1024 === 0) this.#writeBackWhenDue();
      if (this.step(isRung)) {
        idle = 0;
        continue;
      }
      if (++idle < idleLooks) continue;
      idle = 0;
      this.#sleep(seen);
    }
  }

  /** One round over all ports, rings alone unless `isRung`; tells whether there was any work. */
  step(isRung = true): boolean {
    let worked = false;
    for (const port of this.#ports) {
      if (isRung && port.attend()) worked = true;
      if (port.serve()) worked = true;
    }
    return worked;
  }

  /** Time has passed, for a host that is stepped by others: writes back when it is due. */
  tick(): void {
    this.#writeBackWhenDue();
  }

  #sleep(seen: number): void {
    let more = false;
    for (const port of this.#ports) if (port.enableKicks()) more = true;
    if (!more) {
      this.sleeps++;
      this.#options.bell.wait(seen, this.#writeBackWhenDue());
    }
    for (const port of this.#ports) port.disableKicks();
  }

  /** Returns the milliseconds until the timer is due again. */
  #writeBackWhenDue(): number {
    const now = this.#options.clock.monotonicMs();
    if (now >= this.#nextWriteBackMs) {
      this.#options.writeBack();
      this.#nextWriteBackMs = now + this.#options.writeBackMs;
    }
    return Math.max(1, this.#nextWriteBackMs - now);
  }
}
