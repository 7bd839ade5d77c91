/**
 * `virtiofs serve SPEC --socket PATH`: serves SPEC as raw FUSE over a Unix stream socket, in the foreground.
 *
 * One thread: sessions are synchronous, and sockets wake it. SIGINT, SIGTERM or SIGHUP ends it; a second one kills.
 */
import { parseArgs } from 'node:util';
import { SystemClock } from '../base/clock.ts';
import { InlineDoorbell } from '../base/doorbell.ts';
import { instantiate } from '../dax/instantiate.ts';
import type { LogLevel } from '../host/log.ts';
import { SESSION_DEFAULTS } from '../host/session.ts';
import { type StreamServer, serveStream, streamRoom } from '../transport/stream/server.ts';
import { SocketPathError } from '../transport/stream/socket-path.ts';
import { loadFileSystem } from '../worker/file-systems.ts';
import { HostCore } from '../worker/host-core.ts';
import { type FileSystemSpec, parseSpec } from '../worker/host-options.ts';
import { planMemory } from '../worker/memory-map.ts';
import { wasmModule } from '../worker/wasm-modules.ts';

const SERVE_USAGE = 'usage: virtiofs serve SPEC --socket PATH';

const MIB = 1 << 20;
const WASM_PAGE = 65536;
/** Bytes of page cache for what has a backing. */
const CACHE_SIZE = 256 * MIB;
/** Bytes of a memory file system that nobody gave a size. */
const MEMORY_SIZE = 1024 * MIB;
/** Leaf tables take frames too: in the worst case, files of one page, half as many as the pages. */
const POOL_FACTOR = 1.5;
const POOL_EXTRA = 4 * MIB;
/** What wasm32 can address, less what is not pool. */
const POOL_MAX = 3840 * MIB;
/** Clients at once. */
const CONNECTIONS = 64;
const WRITE_BACK_MS = 1000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface ServeArguments {
  readonly specText: string;
  readonly spec: FileSystemSpec;
  readonly path: string;
}

/** Returns the exit code: 0 ended by a signal, 1 something was left over at the end, 2 it could not be served. */
export async function serveCommand(args: string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(SERVE_USAGE);
    return 0;
  }
  // A signal during the start ends us after it, cleanly.
  const signal = firstSignal();
  try {
    const { specText, spec, path } = parse(args);
    const host = await buildHost(spec).catch(refuse);
    const { core } = host;
    const server = await listen(host, path);
    const timer = setInterval(() => core.writeBack(), WRITE_BACK_MS);
    console.log(`serving ${specText} on ${path}`);
    await signal;
    clearInterval(timer);
    return await finish(core, server);
  } catch (error) {
    if (!isExpected(error)) throw error;
    log('error', error.message.split('\n')[0] ?? '');
    return 2;
  }
}

function parse(args: string[]): ServeArguments {
  const { values, positionals } = parseArgs({ args, options: { socket: { type: 'string' } }, allowPositionals: true });
  const [specText, ...more] = positionals;
  if (specText === undefined || more.length > 0 || !values.socket) throw new TypeError(SERVE_USAGE);
  const spec = parseSpec(specText);
  if (spec.type === 'fuse') throw new TypeError(`${specText} is served on a socket already: connect to that`);
  return { specText, spec, path: values.socket };
}

interface BuiltHost {
  readonly core: HostCore;
  readonly buffer: ArrayBufferLike;
  /** Where the connections' part of the memory starts. */
  readonly at: number;
}

async function buildHost(spec: FileSystemSpec): Promise<BuiltHost> {
  const cacheSize = poolOf(spec);
  const map = planMemory({ cacheSize, guests: 1, windowSize: 0, queueSize: 4, requestQueues: 1, dataSize: 4096 });
  const makeFileSystem = await loadFileSystem(spec, spec.type === 'memory' ? (spec.size ?? MEMORY_SIZE) : cacheSize);
  const at = map.memorySize;
  const pages = Math.ceil((at + streamRoom(SESSION_DEFAULTS.maxWrite, CONNECTIONS)) / WASM_PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { attrTimeoutMs, entryTimeoutMs, negativeTimeoutMs } = SESSION_DEFAULTS;
  const core = new HostCore({
    buffer: memory.buffer,
    wasm: instantiate(wasmModule('unshared'), memory),
    map,
    settings: {
      ...{ fs: spec, tag: 'stream', writeBackMs: WRITE_BACK_MS, daxFileSize: 0, extensions: false },
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
  return { core, buffer: memory.buffer, at };
}

function poolOf(spec: FileSystemSpec): number {
  if (spec.type !== 'memory') return CACHE_SIZE;
  const size = Math.ceil((spec.size ?? MEMORY_SIZE) * POOL_FACTOR) + POOL_EXTRA;
  if (size > POOL_MAX) throw new RangeError(`memory:${spec.size} is too large to be served`);
  return size;
}

async function listen({ core, buffer, at }: BuiltHost, path: string): Promise<StreamServer> {
  const { maxWrite } = SESSION_DEFAULTS;
  const openSession = (name: string) => core.server.openSession({ name, maxWrite });
  // Whoever may connect may do all that we may: nobody but ourselves.
  const umask = process.umask(0o177);
  try {
    return await serveStream({ path, openSession, maxWrite, buffer, at, connections: CONNECTIONS, log });
  } catch (error) {
    core.stop();
    throw error;
  } finally {
    process.umask(umask);
  }
}

/** Lets go of the clients, writes everything back, closes the backing. */
async function finish(core: HostCore, server: StreamServer): Promise<number> {
  await server.close();
  core.server.checkInvariants();
  const left = core.server.store.count - 1;
  core.stop();
  if (left > 0) log('error', `${left} inodes are still held after all clients have gone`);
  return left > 0 ? 1 : 0;
}

function firstSignal(): Promise<void> {
  return new Promise((resolve) => {
    const hear = () => {
      for (const signal of SIGNALS) process.off(signal, hear);
      resolve();
    };
    for (const signal of SIGNALS) process.on(signal, hear);
  });
}

/** A file system that cannot be had is a wrong argument. */
function refuse(error: Error): never {
  throw new TypeError(error.message, { cause: error });
}

/** What is wrong with the arguments or the path, not with us. */
function isExpected(error: unknown): error is Error {
  return error instanceof SocketPathError || error instanceof TypeError || error instanceof RangeError;
}

function log(level: LogLevel, text: string): void {
  if (level === 'error') console.error(`virtiofs: ${text}`);
}
