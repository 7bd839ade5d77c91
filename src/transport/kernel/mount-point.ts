/** The directory that is mounted on, and the programs that mount and unmount it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, openSync, realpathSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Something that the user can put right; the message is one line that says what. */
export class MountError extends Error {
  override readonly name = 'MountError';
}

const DEVICE = '/dev/fuse';
/** The kernel reads ahead 128 KiB at a time unless it is told that more is worth it. */
const READ_AHEAD_KIB = 1024;

/** Throws unless this process can mount at all. */
export function requireMounting(): void {
  if (process.platform !== 'linux') {
    throw new MountError(`mount needs Linux, this is ${process.platform}: use 'serve' or 'run' here`);
  }
  if (process.geteuid?.() !== 0) throw new MountError('mount needs root: run it as root or with sudo');
  if (!existsSync(DEVICE)) {
    const how = `run 'modprobe fuse', or give the container '--device ${DEVICE} --cap-add SYS_ADMIN'`;
    throw new MountError(`the FUSE device ${DEVICE} is not there: ${how}`);
  }
}

export function openDevice(): number {
  try {
    return openSync(DEVICE, 'r+');
  } catch (error) {
    const how = `load the kernel's fuse module, or give the container '--device ${DEVICE} --cap-add SYS_ADMIN'`;
    throw new MountError(`cannot open ${DEVICE} (${codeOf(error)}): ${how}`, { cause: error });
  }
}

/** Returns the real path of a directory that can be mounted on. */
export function requireMountPoint(path: string): string {
  const real = resolveMountPoint(path);
  const stats = statSync(real);
  if (!stats.isDirectory()) throw new MountError(`mount point ${path} is not a directory: name a directory`);
  const isMounted = real === '/' || statSync(dirname(real)).dev !== stats.dev;
  if (isMounted) throw new MountError(`mount point ${path} is busy: something is mounted there; umount it first`);
  return real;
}

/** A mount inside the directory that it serves would ask itself for itself. */
export function requireOutside(mountPoint: string, served: string): void {
  let real: string;
  try {
    real = realpathSync.native(served);
  } catch {
    // Not there: whoever serves it says so, and better.
    return;
  }
  const inside = mountPoint.startsWith(real.endsWith('/') ? real : `${real}/`);
  if (inside) throw new MountError(`mount point ${mountPoint} is inside the served directory ${real}: mount elsewhere`);
}

/** What a mount's source is called. */
export const SOURCE = 'virtiofs';

/** Runs mount(8) with the device as descriptor 3. */
export async function runMount(fd: number, words: string, mountPoint: string, source = SOURCE): Promise<void> {
  const args = ['-i', '-t', 'fuse', '-o', words, source, mountPoint];
  const { code, stderr } = await run('mount', args, fd);
  if (code === 0) return;
  const why = /permission denied|not permitted/i.test(stderr) ? ' (a container needs --cap-add SYS_ADMIN)' : '';
  throw new MountError(`mount failed: ${oneLine(stderr) || `mount(8) ended with ${code}`}${why}`);
}

/** Runs umount(8). Returns undefined when it worked, else what it said. */
export async function runUmount(mountPoint: string, ...flags: string[]): Promise<string | undefined> {
  const { code, stderr } = await run('umount', ['-i', ...flags, '--', mountPoint], undefined);
  return code === 0 ? undefined : oneLine(stderr) || `umount(8) ended with ${code}`;
}

/** The process ends: breaks the connection, or threads that wait for the kernel would keep it from ending. */
export function runUmountAtExit(mountPoint: string): void {
  spawnSync('umount', ['-i', '-f', '-l', '--', mountPoint], { stdio: 'ignore' });
}

/** Lets the kernel read ahead as much as one request can carry. A wish: without it reading is correct and slower. */
export function raiseReadAhead(mountPoint: string): void {
  const { dev } = statSync(mountPoint);
  const major = ((dev >>> 8) & 0xfff) >>> 0;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  const file = `/sys/class/bdi/${major}:${minor}/read_ahead_kb`;
  if (!existsSync(file)) return;
  try {
    writeFileSync(file, String(READ_AHEAD_KIB));
  } catch (error) {
    // sysfs is read-only in many containers.
    codeOf(error);
  }
}

function resolveMountPoint(path: string): string {
  try {
    const real = realpathSync.native(path);
    // Whatever the kernel still remembers of a dead mount, this it has to ask for.
    statfsSync(real);
    return real;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') throw new MountError(`mount point ${path} does not exist: create the directory first`);
    if (code === 'ENOTCONN')
      throw new MountError(`mount point ${path} is a dead mount: remove it with 'umount ${path}'`);
    throw new MountError(`mount point ${path} cannot be used: ${code}`, { cause: error });
  }
}

function run(program: string, args: string[], fd: number | undefined): Promise<{ code: number; stderr: string }> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) =>
      reject(new MountError(`cannot run ${program}(8): ${codeOf(error)}: install util-linux`));
    const stdio = ['ignore', 'ignore', 'pipe', ...(fd === undefined ? [] : [fd])] as ('ignore' | 'pipe' | number)[];
    // In a process group of its own: Ctrl-C is for us, and we then want to umount in peace.
    let child: ChildProcess;
    try {
      child = spawn(program, args, { stdio, detached: true, env: { ...process.env, LC_ALL: 'C' } });
    } catch (error) {
      // Node throws what it did not expect of a search path: a file in it, for one.
      fail(error);
      return;
    }
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on('error', fail);
    child.on('close', (code) => resolve({ code: code ?? -1, stderr }));
  });
}

function oneLine(text: string): string {
  return text.trim().split('\n')[0] ?? '';
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error);
}
