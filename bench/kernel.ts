/**
 * The real Linux kernel on our server, against a libfuse server (bindfs) over tmpfs, and tmpfs itself: the same calls
 * of node:fs on each mount, in turns. Needs root, /dev/fuse and bindfs; so it runs only when it is named.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Measurement, measure, nsPerOp, type Row } from './harness.ts';

const MIB = 1 << 20;
const FILES = 1000;
const LISTED = 10_000;
const LARGE = 64 * MIB;
const ROUNDS = 5;
const NO_CACHE = 'attr_timeout=0,entry_timeout=0';

interface Mount {
  readonly path: string;
  readonly child: ChildProcess | undefined;
}

export async function kernel(): Promise<Row[]> {
  const problem = whyNot();
  if (problem !== undefined) throw Object.assign(new TypeError(`kernel: ${problem}`), { code: 'ERR_USAGE' });
  const root = fs.mkdtempSync('/dev/shm/virtiofs-bench-');
  const mounts: Mount[] = [];
  try {
    const dir = (name: string) => {
      fs.mkdirSync(join(root, name));
      return join(root, name);
    };
    const ours = async (name: string, spec: string, options: string) => {
      const mount = await serve('node', [cli(), 'mount', spec, dir(name), '-o', options], join(root, name));
      mounts.push(mount);
      return mount.path;
    };
    const tmpfs = dir('tmpfs');
    const memory = await ours('memory', 'memory:1G', 'attr_timeout=1');
    const served = await ours('dir', `dir:${dir('dir-source')}`, 'attr_timeout=1');
    const memoryUncached = await ours('memory-uncached', 'memory:64M', NO_CACHE);
    const servedUncached = await ours('dir-uncached', `dir:${dir('dir-source-2')}`, NO_CACHE);
    const libfuse = async (name: string, options: string[]) => {
      const mount = await serve('bindfs', ['-f', ...options, dir(`${name}-source`), dir(name)], join(root, name));
      mounts.push(mount);
      return mount.path;
    };
    const bindfs = await libfuse('bindfs', []);
    const bindfsUncached = await libfuse('bindfs-uncached', ['-o', NO_CACHE]);
    return [
      ...compare('memory', memory, memoryUncached, bindfs, bindfsUncached, 'bindfs over tmpfs', true),
      ...compare('dir over tmpfs', served, servedUncached, bindfs, bindfsUncached, 'bindfs over tmpfs', true),
      ...compare('memory', memory, memoryUncached, tmpfs, tmpfs, 'tmpfs', false),
    ];
  } finally {
    for (const mount of mounts) await unmount(mount);
    fs.rmSync(root, { recursive: true, force: true });
  }
}

function compare(
  name: string,
  ours: string,
  oursUncached: string,
  theirs: string,
  theirsUncached: string,
  reference: string,
  hasGoal: boolean,
): Row[] {
  const row = (label: string, goal: number, run: (path: string) => number, uncached = false): Row => {
    const measurement: Measurement = {
      bench: 'kernel',
      case: `${name}: ${label}`,
      reference,
      goal: hasGoal ? goal : null,
      rounds: ROUNDS,
      ours: () => run(uncached ? oursUncached : ours),
      theirs: () => run(uncached ? theirsUncached : theirs),
    };
    return measure(measurement);
  };
  for (const path of new Set([ours, oursUncached, theirs, theirsUncached])) prepare(path);
  return [
    row('create + unlink', 0.8, createUnlink),
    row('stat, uncached', 0.8, statAll, true),
    row('open + read 4 KiB + close', 0.8, openReadClose),
    row('readdir of 10,000, per entry', 0.8, list),
    row('sequential write 1 MiB', 0.7, (path) => sequential(path, true)),
    row('sequential read 1 MiB, cold', 0.7, (path) => sequential(path, false)),
    row('random write 4 KiB', 0.8, (path) => random(path, true)),
    row('random read 4 KiB, cold', 0.8, (path) => random(path, false)),
  ];
}

function prepare(path: string): void {
  if (fs.existsSync(join(path, 'many'))) return;
  for (let i = 0; i < 100; i++) fs.writeFileSync(join(path, `file${i}`), Buffer.alloc(4096, i));
  fs.mkdirSync(join(path, 'many'));
  for (let i = 0; i < LISTED; i++) fs.writeFileSync(join(path, 'many', `entry${i}`), '');
  if (!path.endsWith('uncached')) fs.writeFileSync(join(path, 'large'), Buffer.alloc(LARGE, 'x'));
}

function createUnlink(path: string): number {
  return nsPerOp(FILES, (i) => {
    const file = join(path, `new${i}`);
    fs.closeSync(fs.openSync(file, 'w'));
    fs.unlinkSync(file);
  });
}

function statAll(path: string): number {
  return nsPerOp(FILES, (i) => void fs.statSync(join(path, `file${i % 100}`)));
}

const page = Buffer.alloc(4096);

function openReadClose(path: string): number {
  return nsPerOp(FILES, (i) => {
    const fd = fs.openSync(join(path, `file${i % 100}`), 'r');
    fs.readSync(fd, page, 0, 4096, 0);
    fs.closeSync(fd);
  });
}

function list(path: string): number {
  dropCaches();
  return nsPerOp(1, () => void fs.readdirSync(join(path, 'many'))) / LISTED;
}

function sequential(path: string, write: boolean): number {
  const block = Buffer.alloc(MIB, 'y');
  if (!write) dropCaches();
  const fd = fs.openSync(join(path, 'large'), write ? 'r+' : 'r');
  const ns = nsPerOp(LARGE / MIB, (i) => {
    if (write) fs.writeSync(fd, block, 0, MIB, i * MIB);
    else fs.readSync(fd, block, 0, MIB, i * MIB);
  });
  fs.closeSync(fd);
  return ns;
}

function random(path: string, write: boolean): number {
  if (!write) dropCaches();
  const fd = fs.openSync(join(path, 'large'), write ? 'r+' : 'r');
  let seed = 1;
  const ns = nsPerOp(2000, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const pos = ((seed >>> 8) % (LARGE / 4096)) * 4096;
    if (write) fs.writeSync(fd, page, 0, 4096, pos);
    else fs.readSync(fd, page, 0, 4096, pos);
  });
  fs.closeSync(fd);
  return ns;
}

/** The kernel's caches would answer what the server is asked for. */
function dropCaches(): void {
  fs.writeFileSync('/proc/sys/vm/drop_caches', '3');
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root';
  if (!fs.existsSync('/dev/fuse')) return 'needs /dev/fuse';
  if (spawnSync('bindfs', ['--version']).error !== undefined) return 'needs bindfs: apt-get install bindfs';
  return undefined;
}

function cli(): string {
  return fileURLToPath(new URL('./cli.js', import.meta.url));
}

/** Starts a server and resolves when its mount is there. */
async function serve(command: string, args: readonly string[], path: string): Promise<Mount> {
  const before = fs.statSync(path).dev;
  const child = spawn(command, args, { stdio: 'ignore' });
  for (let i = 0; i < 200; i++) {
    if (fs.statSync(path).dev !== before) return { path, child };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill();
  throw new Error(`${command} did not mount ${path}`);
}

async function unmount({ path, child }: Mount): Promise<void> {
  if (child === undefined) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  spawnSync('umount', [path]);
  await ended;
}
