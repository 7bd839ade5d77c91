/** `mount`: a FUSE client on an attachment, in the worker that calls it. Synchronous: guests block while they wait. */
import { type Clock, SystemClock } from '../base/clock.ts';
import { instantiate } from '../dax/instantiate.ts';
import { type Guest, mountOver } from '../guest/guest.ts';
import type { MountOptions as GuestMountOptions } from '../guest/options.ts';
import { type Connection, connect } from './connect.ts';
import type { Attachment } from './host.ts';

export interface MountOptions extends Partial<GuestMountOptions> {
  /** Looks at the ring before the guest sleeps; more is faster and burns more CPU. Default 2000, about 30 µs. */
  readonly spins?: number;
  /** Is told what others change, if the host tells; else only time makes caches doubtful. Default: true. */
  readonly notifications?: boolean;
}

const SPINS = 2000;

/** Mounts the host's tree. Call it in a worker (on a page's main thread nothing may block). */
export function mount(attachment: Attachment, options: MountOptions = {}): Guest {
  const clock: Clock = options.clock ?? new SystemClock();
  const connection = connect({
    buffer: attachment.memory.buffer,
    wasm: instantiate(attachment.module, attachment.memory),
    map: attachment.map,
    slot: attachment.slot,
    generation: attachment.generation,
    clock,
    spins: options.spins ?? SPINS,
    notifications: options.notifications ?? true,
  });
  return mountConnection(connection, { ...options, clock });
}

/** Mounts over a connection. If the session cannot start, the device is given back. */
export function mountConnection(connection: Connection, options: MountOptions & { clock: Clock }): Guest {
  const { spins: _, notifications: __, ...rest } = options;
  try {
    return mountOver(connection.channel, connection.window, rest);
  } catch (error) {
    connection.channel.close();
    throw error;
  }
}
