/** Entry point of the host's worker: builds the host over the memory it is sent, serves, reports, ends. */
import { SystemClock } from '../base/clock.ts';
import { instantiate } from '../dax/instantiate.ts';
import type { Log } from '../host/log.ts';
import type { Server } from '../host/server.ts';
import { loadFileSystem, loadRelay } from './file-systems.ts';
import { HostCore, type HostCoreOptions } from './host-core.ts';
import type { HostSettings } from './host-options.ts';
import { HEADER_HOST_STATE, HEADER_STOP, HOST_RUNNING, HOST_STOPPED, type MemoryMap } from './memory-map.ts';
import { parentPort } from './threads.ts';

/** What the creator sends, once. */
export interface StartMessage {
  readonly type: 'start';
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly map: MemoryMap;
  readonly settings: HostSettings;
}

/** Looks without work before sleeping: some tens of microseconds, about what waking up costs. */
const IDLE_LOOKS = 1000;

// Nothing but this one await may come before the listener: a message that arrives earlier is lost in browsers.
const port = await parentPort();
port.onMessage((message) => {
  const start = message as StartMessage;
  if (start.type === 'start') void serve(start);
});

async function serve({ memory, module, map, settings }: StartMessage): Promise<void> {
  const words = new Int32Array(memory.buffer);
  try {
    const { fs } = settings;
    const log: Log = (level, text) => port.post({ type: 'log', level, text });
    const isStopping = () => Atomics.load(words, HEADER_STOP >> 2) !== 0;
    const source =
      fs.type === 'fuse'
        ? { relay: await loadRelay(fs.path, { buffer: memory.buffer, maxWrite: map.dataSize, log, isStopping }) }
        : { makeFileSystem: await loadFileSystem(fs, map.cacheSize), ...(await loadPorts(memory.buffer, map, log)) };
    const core = new HostCore({
      buffer: memory.buffer,
      wasm: instantiate(module, memory),
      map,
      settings,
      clock: new SystemClock(),
      log,
      ...source,
      idleLooks: IDLE_LOOKS,
      pause: makePause(),
      isStopping,
    });
    // ORDER: registers of all slots are written before; a guest probes only after it saw this.
    Atomics.store(words, HEADER_HOST_STATE >> 2, HOST_RUNNING);
    port.post({ type: 'ready' });
    core.loop.run();
    const report = core.stop();
    // ORDER: everything is written back; guests that wait look at this word when their bell rings.
    Atomics.store(words, HEADER_HOST_STATE >> 2, HOST_STOPPED);
    for (const slot of core.slots) slot.bell.ring();
    port.post({ type: 'stopped', report });
  } catch (error) {
    // ORDER: as above; nothing was promised.
    Atomics.store(words, HEADER_HOST_STATE >> 2, HOST_STOPPED);
    port.post({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
  port.close();
}

/** What serves mounts of the real kernel, where they can be. */
async function loadPorts(
  buffer: ArrayBufferLike,
  map: MemoryMap,
  log: Log,
): Promise<Pick<HostCoreOptions, 'makePorts'>> {
  if (map.boxes.length === 0) return {};
  const { KernelPort } = await import('../transport/kernel/kernel-port.ts');
  const makePorts = (server: Server) =>
    map.boxes.map((at, index) => {
      const tell = (what: 'ready' | 'closed') => port.post({ type: 'kernel-mount', index, what });
      return new KernelPort({ server, buffer, at, name: `kernel mount ${index}`, log, tell });
    });
  return { makePorts };
}

/** How the host waits for a guest to leave an access: looks, then tiny sleeps, for the guest may need this core. */
function makePause(): (round: number) => void {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  return (round) => {
    // ORDER: nobody ever notifies this word: it is a sleep of 50 microseconds.
    if (round > 200) Atomics.wait(nobody, 0, 0, 0.05);
  };
}
