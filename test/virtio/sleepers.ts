/** The loops of a producer and of a consumer that sleeps, over the real queues, for either direction. */
import { Chain } from '../../src/virtio/chain.ts';
import { DeviceQueue } from '../../src/virtio/device.ts';
import { DriverQueue } from '../../src/virtio/driver.ts';
import { ringAt } from '../../src/virtio/layout.ts';
import { segments } from './pair.ts';
import type { Body } from './replay.ts';

/** Who sleeps: the device until it is kicked, or the driver until it is interrupted. */
export type Direction = 'kick' | 'interrupt';

const RING = ringAt(0, 4);
const REQUEST = segments([256, 8]);
const NOTHING = segments();

export function producerOf(direction: Direction, eventIndex: boolean, count: number): Body {
  return direction === 'kick' ? driverProduces(eventIndex, count) : deviceProduces(eventIndex, count);
}

export function consumerOf(direction: Direction, eventIndex: boolean, count: number, recheck: boolean): Body {
  return direction === 'kick' ? deviceSleeps(eventIndex, count, recheck) : driverSleeps(eventIndex, count, recheck);
}

function driverProduces(eventIndex: boolean, count: number): Body {
  return (memory, bell, begin) => {
    const driver = new DriverQueue(memory, RING, { eventIndex, indirect: false });
    begin();
    for (let token = 0; token < count; token++) {
      driver.add(REQUEST, NOTHING, token);
      if (driver.publish()) bell.ring();
    }
  };
}

function deviceSleeps(eventIndex: boolean, count: number, recheck: boolean): Body {
  return (memory, bell, begin) => {
    const device = new DeviceQueue(memory, RING, { eventIndex, indirect: false });
    const chain = new Chain();
    let served = 0;
    device.disableKicks();
    begin();
    for (;;) {
      const seen = bell.seen();
      device.disableKicks();
      for (; device.take(chain); served++) device.put(chain.head, 0);
      if (served === count) return;
      if (device.enableKicks() && recheck) continue;
      bell.wait(seen);
    }
  };
}

function deviceProduces(eventIndex: boolean, count: number): Body {
  return (memory, bell, begin) => {
    // The driver that is being interrupted has made its chains available before the race begins.
    const driver = new DriverQueue(memory, RING, { eventIndex, indirect: false });
    makeAvailable(driver, count);
    const device = new DeviceQueue(memory, RING, { eventIndex, indirect: false });
    const chains = Array.from({ length: count }, () => new Chain());
    for (const chain of chains) device.take(chain);
    begin();
    for (const chain of chains) {
      device.put(chain.head, 0);
      if (device.publish()) bell.ring();
    }
  };
}

function driverSleeps(eventIndex: boolean, count: number, recheck: boolean): Body {
  return (memory, bell, begin) => {
    const driver = new DriverQueue(memory, RING, { eventIndex, indirect: false });
    makeAvailable(driver, count);
    let served = 0;
    driver.disableInterrupts();
    begin();
    for (;;) {
      const seen = bell.seen();
      driver.disableInterrupts();
      for (; driver.takeUsed() >= 0; served++);
      if (served === count) return;
      if (driver.enableInterrupts() && recheck) continue;
      bell.wait(seen);
    }
  };
}

function makeAvailable(driver: DriverQueue, count: number): void {
  for (let token = 0; token < count; token++) driver.add(REQUEST, NOTHING, token);
  driver.publish();
}
