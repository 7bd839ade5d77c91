/** A server over a memory file system and real pages, with as many direct clients as a test wants. */
import { ManualClock } from '../../src/base/clock.ts';
import { MemoryFileSystem, type MemoryOptions } from '../../src/fs/memory.ts';
import type { FileSystem } from '../../src/host/file-system.ts';
import { Server } from '../../src/host/server.ts';
import type { SessionOptions } from '../../src/host/session.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { createTestPages } from '../fakes/pages.ts';
import { Client } from './client.ts';

const CLIENT_ROOM = 512 * 1024;
const SCRATCH = 64 * 1024;

export interface WorldOptions {
  readonly frames?: number;
  readonly fs?: Partial<MemoryOptions>;
  /** Wraps the memory file system. */
  readonly wrap?: (fs: MemoryFileSystem) => FileSystem;
  readonly session?: Partial<SessionOptions>;
}

export type World = ReturnType<typeof boot>;

/** `client` has sent INIT and offered everything. */
export function boot(options: WorldOptions = {}) {
  const pages = createTestPages({ frames: options.frames ?? 1024 });
  const clock = new ManualClock();
  const lines: string[] = [];
  const memory = new MemoryFileSystem({ pageCache: pages.pageCache, clock, sizeLimit: 3 << 20, ...options.fs });
  const scratch = new SegmentList();
  scratch.push(pages.room, SCRATCH);
  const server = new Server({
    fs: options.wrap?.(memory) ?? memory,
    clock,
    log: (level, text) => lines.push(`${level} ${text}`),
    scratch,
  });
  let nextRoom = pages.room + SCRATCH;
  const attach = (session: Partial<SessionOptions> = {}, canWait = true): Client => {
    const client = new Client(
      server.openSession({ ...options.session, ...session }),
      pages.pageCache.bytes,
      nextRoom,
      CLIENT_ROOM,
      canWait,
    );
    nextRoom += CLIENT_ROOM;
    return client;
  };
  const check = (): void => {
    server.checkInvariants();
    memory.checkInvariants();
  };
  const client = attach();
  client.init();
  return { pages, clock, lines, memory, server, attach, client, check };
}
