/** Our server on a Unix socket, in this thread, over a memory file system. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '../../src/base/clock.ts';
import { MemoryFileSystem } from '../../src/fs/memory.ts';
import { Server } from '../../src/host/server.ts';
import { serveStream, streamRoom } from '../../src/transport/stream/server.ts';
import { createTestPages } from '../fakes/pages.ts';

const MAX_WRITE = 1 << 20;

export type StreamWorld = Awaited<ReturnType<typeof boot>>;

export async function boot(options: { connections?: number } = {}) {
  const { connections = 3 } = options;
  const pages = createTestPages({ frames: 2048, roomSize: streamRoom(MAX_WRITE, connections) });
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = (level: string, text: string) => {
    if (level !== 'debug') lines.push(`${level} ${text}`);
  };
  const memory = new MemoryFileSystem({ pageCache: pages.pageCache, clock, sizeLimit: 7 << 20 });
  const server = new Server({ fs: memory, clock, log });
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-stream-'));
  const path = join(directory, 'socket');
  const { buffer } = pages.memory;
  const openSession = (name: string) => server.openSession({ name, maxWrite: MAX_WRITE });
  const stream = await serveStream({
    path,
    openSession,
    maxWrite: MAX_WRITE,
    buffer,
    at: pages.room,
    connections,
    log,
  });
  const close = async () => {
    await stream.close();
    rmSync(directory, { recursive: true, force: true });
  };
  /** Waits until all clients that left are forgotten. */
  const idle = async (left = 0) => {
    while (stream.connections.size > left) await new Promise((resolve) => setTimeout(resolve, 1));
    server.checkInvariants();
  };
  return { server, stream, path, directory, lines, close, idle };
}
