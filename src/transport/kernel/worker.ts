/** Entry point of a kernel mount's worker: builds the host over its own memory, serves the device, reports, ends. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { SystemClock } from '../../base/clock.ts';
import { InlineDoorbell } from '../../base/doorbell.ts';
import { instantiate } from '../../dax/instantiate.ts';
import { findNative } from '../../fs/dir/native.ts';
import { MemoryFileSystem } from '../../fs/memory.ts';
import { ReadOnlyFileSystem } from '../../fs/read-only.ts';
import type { Log } from '../../host/log.ts';
import { SESSION_DEFAULTS, type Session } from '../../host/session.ts';
import { loadFileSystem, type MakeFileSystem } from '../../worker/file-systems.ts';
import { HostCore } from '../../worker/host-core.ts';
import type { FileSystemSpec } from '../../worker/host-options.ts';
import { type MemoryMap, planMemory } from '../../worker/memory-map.ts';
import { wasmModule } from '../../worker/wasm-modules.ts';
import { DescriptorDevice, type DeviceCalls } from './device.ts';
import { groupsOf } from './groups.ts';
import type { KernelReport, KernelWorkerData, KernelWorkerMessage } from './kernel-mount.ts';
import { KernelServer, kernelRoom } from './kernel-server.ts';
import { type KernelMountOptions, lifetimes } from './options.ts';

const MIB = 1 << 20;
const DESCRIPTORS = '/proc/self/fd';
const WASM_PAGE = 65536;
/** Bytes of page cache for what has a backing. */
const CACHE_SIZE = 256 * MIB;
/** Bytes of a memory file system that nobody gave a size. */
const MEMORY_SIZE = 1024 * MIB;
/** Leaf tables take frames too: in the worst case, files of one page, half as many as the pages. */
const POOL_FACTOR = 1.5;
const POOL_EXTRA = 4 * MIB;
/** What wasm32 can address, less what is not pool. */
const POOL_MAX = 4032 * MIB;

const port = parentPort as NonNullable<typeof parentPort>;
const tell = (message: KernelWorkerMessage): void => port.postMessage(message);
const log: Log = (level, text) => tell({ type: 'log', level, text });

try {
  await serve(workerData as KernelWorkerData);
} catch (error) {
  tell({ type: 'failed', text: error instanceof Error ? error.message : String(error) });
}

async function serve(data: KernelWorkerData): Promise<void> {
  const { options } = data;
  const spec = data.fs as FileSystemSpec;
  const atStart = new Set(openFiles().keys());
  const map = planMemory({ ...poolOf(spec), guests: 1, windowSize: 0, queueSize: 4, requestQueues: 1, dataSize: 4096 });
  const makeFileSystem = await fileSystemOf(spec, options, map);
  const at = map.memorySize;
  const memory = allocate(at + kernelRoom(SESSION_DEFAULTS.maxWrite));
  const core = buildCore(memory, map, options, makeFileSystem);
  const stop = new Int32Array(data.stop);
  const nap = new Int32Array(new SharedArrayBuffer(4));
  const session = core.server.openSession(sessionOptions(options));
  const server = new KernelServer({
    device: new DescriptorDevice(data.fd, deviceCalls(spec)),
    session,
    buffer: memory.buffer,
    at,
    log,
    // ORDER: nobody notifies this word: it is a sleep of one millisecond.
    pause: () => Atomics.wait(nap, 0, 0, 1),
    isStopping: () => Atomics.load(stop, 0) !== 0,
    onReady: () => tell({ type: 'ready' }),
  });
  tell({ type: 'built' });
  server.run();
  session.close();
  tell({ type: 'ended', report: { requests: server.requests, leaks: finish(core, session, atStart) } });
}

/** A program that asked for none gets no native calls. */
function deviceCalls(spec: FileSystemSpec): DeviceCalls | undefined {
  return spec.type === 'dir' && spec.native === false ? undefined : findNative(log);
}

function poolOf(spec: FileSystemSpec): { cacheSize: number } {
  if (spec.type !== 'memory') return { cacheSize: CACHE_SIZE };
  return { cacheSize: Math.min(POOL_MAX, Math.ceil((spec.size ?? MEMORY_SIZE) * POOL_FACTOR) + POOL_EXTRA) };
}

async function fileSystemOf(
  spec: FileSystemSpec,
  options: KernelMountOptions,
  map: MemoryMap,
): Promise<MakeFileSystem> {
  if (spec.type !== 'memory') return loadFileSystem(spec, map.cacheSize);
  const make = memoryOf(spec.size, options);
  if (!options.readOnly) return make;
  return (pageCache, clock, fsLog) => new ReadOnlyFileSystem(make(pageCache, clock, fsLog));
}

function memoryOf(size: number | undefined, options: KernelMountOptions): MakeFileSystem {
  const sizeLimit = size ?? MEMORY_SIZE;
  if (sizeLimit > POOL_MAX) throw new RangeError(`memory:${sizeLimit} is too large: at most ${POOL_MAX} bytes fit`);
  return (pageCache, clock) =>
    new MemoryFileSystem({
      pageCache,
      clock,
      sizeLimit,
      rootUid: options.uid ?? 0,
      rootGid: options.gid ?? 0,
      rootMode: options.mode ?? 0o755,
    });
}

/** Nothing of it is used before it is touched. */
function allocate(size: number): WebAssembly.Memory {
  const pages = Math.ceil(size / WASM_PAGE);
  return new WebAssembly.Memory({ initial: pages, maximum: pages });
}

function buildCore(
  memory: WebAssembly.Memory,
  map: MemoryMap,
  options: KernelMountOptions,
  makeFileSystem: MakeFileSystem,
): HostCore {
  const { attrTimeoutMs, entryTimeoutMs, negativeTimeoutMs } = options;
  const fs: FileSystemSpec = { type: 'memory' };
  return new HostCore({
    buffer: memory.buffer,
    wasm: instantiate(wasmModule('unshared'), memory),
    map,
    settings: {
      ...{ fs, tag: 'kernel', writeBackMs: 1000, daxFileSize: 0, extensions: false },
      ...{ attrTimeoutMs, entryTimeoutMs, negativeTimeoutMs },
    },
    clock: new SystemClock(),
    log,
    makeFileSystem,
    bells: { host: new InlineDoorbell(), guest: () => new InlineDoorbell() },
    idleLooks: 0,
    pause: () => {},
    isStopping: () => true,
  });
}

function sessionOptions(options: KernelMountOptions) {
  const { writebackCache } = options;
  const alone = { isAlone: true, localLocks: options.localLocks };
  return { name: 'kernel', ...lifetimes(options), ...alone, writebackCache, groupsOf };
}

/** Writes everything back, closes everything; returns what is left over. */
function finish(core: HostCore, session: Session, atStart: ReadonlySet<string>): KernelReport['leaks'] {
  const leaks: string[] = [];
  const count = (left: number, what: string) => {
    if (left !== 0) leaks.push(`${left} ${what}`);
  };
  core.server.checkInvariants();
  count(session.handles.size, 'handles are still open');
  count(session.lookups.size, 'lookups are still counted');
  count(session.locks.count, 'locks are still held');
  count(core.server.store.count - 1, 'inodes are still held');
  core.stop();
  // The page of zeros stays.
  count(core.pageCache.frameCount - core.pageCache.freeFrames - 1, 'frames are still in use');
  const files = [...openFiles()].filter(([fd]) => !atStart.has(fd)).map(([, path]) => path);
  count(files.length, `descriptors are still open: ${files.slice(0, 3).join(', ')}`);
  return leaks;
}

/** Descriptors of files and directories. Of pipes, sockets and devices other threads have some of their own. */
function openFiles(): Map<string, string> {
  const found = new Map<string, string>();
  if (!existsSync(DESCRIPTORS)) return found;
  for (const fd of readdirSync(DESCRIPTORS)) {
    try {
      const path = readlinkSync(`${DESCRIPTORS}/${fd}`);
      if (path.startsWith('/') && !/^\/(dev|proc|sys)\//.test(path)) found.set(fd, path);
    } catch (error) {
      // The listing's own, which is closed by now, or another thread's.
      if ((error as { code?: string }).code !== 'ENOENT') throw error;
    }
  }
  return found;
}
