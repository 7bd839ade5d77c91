/**
 * A host that dies while its mount is in use: nobody may wait for it for ever, neither who reads through the mount, nor
 * the process that served it and has files of it open. Each host lives in a process of its own, for such a process can
 * be stuck in the kernel if we are wrong.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { isMounted, skipReason, titled, umount } from './mounted.ts';

const SCRIPT = new URL('./host-death.mjs', import.meta.url).pathname;
const DIST = new URL('../../dist/', import.meta.url).href;
const LATE_MS = 10_000;

/** A process, what it said, and how it ended; undefined if it was not over in time. */
class Program {
  readonly child: ChildProcess;
  readonly #closed: Promise<number | string>;
  said = '';

  constructor(program: string, args: readonly string[], cwd?: string) {
    this.child = spawn(program, args, { stdio: 'pipe', ...(cwd === undefined ? {} : { cwd }) });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (data) => {
        this.said += data;
      });
    }
    this.#closed = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve(code ?? signal ?? '?')));
  }

  async end(): Promise<number | string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), LATE_MS);
    });
    const how = await Promise.race([this.#closed, late]);
    clearTimeout(timer);
    return how;
  }
}

interface Place {
  readonly base: string;
  readonly mountPoint: string;
  readonly spec: string;
  readonly programs: Program[];
}

const places: Place[] = [];

afterEach(() => {
  for (const { base, mountPoint, programs } of places.splice(0)) {
    if (isMounted(mountPoint)) umount(mountPoint, '-f', '-l');
    for (const { child } of programs) child.kill('SIGKILL');
    rmSync(base, { recursive: true });
  }
});

/** A host that is mounted, and a program that reads from the mount without a pause. */
async function inUse(how: string, kind: string): Promise<{ place: Place; host: Program; reader: Program }> {
  const base = mkdtempSync(join(tmpdir(), 'virtiofs-death-'));
  const mountPoint = join(base, 'mount');
  mkdirSync(mountPoint);
  mkdirSync(join(base, 'backing'));
  const spec = kind === 'dir' ? `dir:${join(base, 'backing')}` : kind;
  const programs: Program[] = [];
  const place = { base, mountPoint, spec, programs };
  places.push(place);
  const host = new Program(process.execPath, [SCRIPT, how, DIST, spec, mountPoint]);
  programs.push(host);
  await expect.poll(() => host.said, { timeout: LATE_MS }).toContain('up');
  const reader = new Program('dd', ['if=file', 'of=/dev/null', 'bs=4k', 'iflag=direct'], mountPoint);
  programs.push(reader);
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { place, host, reader };
}

const BROKEN = /not connected|connection abort|Input\/output error|No such device/i;

describe.skipIf(skipReason !== undefined)(titled('a host that dies while it is mounted'), () => {
  test.each([
    ['idle', 'memory'],
    ['idle', 'dir'],
    ['exit', 'memory'],
  ])('its thread dies, its process is %s (%s): readers fail, the mount goes, the process ends', async (how, kind) => {
    const { place, host, reader } = await inUse(how, kind);
    host.child.stdin?.write('x');
    expect(await reader.end()).toBe(1);
    expect(reader.said).toMatch(BROKEN);
    expect(await host.end()).toBe(0);
    expect(host.said).toBe('up\nended\n');
    expect(isMounted(place.mountPoint)).toBe(false);
    expect(readdirSync(place.mountPoint)).toEqual([]);
  });

  test.each(['memory', 'dir'])(
    'its thread dies while its own process waits for it in a read (%s): that read fails',
    async (kind) => {
      const { place, host, reader } = await inUse('busy', kind);
      host.child.stdin?.write('x');
      expect(await reader.end()).toBe(1);
      expect(await host.end()).toBe(0);
      expect(host.said).toMatch(/^up\nown (ENOTCONN|ECONNABORTED|EIO|ENODEV)\nended\n$/);
      expect(isMounted(place.mountPoint)).toBe(false);
    },
  );

  test.each(['memory', 'dir'])('its whole process is killed with files of it open (%s)', async (kind) => {
    const { place, host, reader } = await inUse('wait', kind);
    host.child.kill('SIGKILL');
    expect(await reader.end()).toBe(1);
    expect(reader.said).toMatch(BROKEN);
    expect(await host.end()).toBe('SIGKILL');
    await expect.poll(() => isMounted(place.mountPoint), { timeout: LATE_MS }).toBe(false);
  });
});
