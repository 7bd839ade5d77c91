/** Mounts of the real kernel, each served by a process of its own: `node dist/cli.js mount`. Always `stop` them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CLI = new URL('../../dist/cli.js', import.meta.url).pathname;
const READY_MS = 20_000;
/** What the command says of what it did not give back. */
const LEAK = /after the unmount .* still/;

/** Why kernel mounts cannot be tested here; undefined if they can. */
export const skipReason = findReason();

/** The title of a suite, which says so if it is skipped. */
export function titled(title: string): string {
  return skipReason === undefined ? title : `${title} [skipped: ${skipReason}]`;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process of the command, and what it has said so far. */
export class Command {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  #heard: () => void = () => {};

  constructor(args: readonly string[], uid?: number, filesMax?: number) {
    const user = uid === undefined ? {} : { uid, gid: uid };
    const limit = filesMax === undefined ? '' : `ulimit -n ${filesMax}; `;
    const script = ['-c', `${limit}exec "$@"`, 'sh', process.execPath, CLI, ...args];
    this.child = spawn('/bin/sh', script, { stdio: ['ignore', 'pipe', 'pipe'], ...user });
    this.child.stdout?.on('data', (data) => {
      this.stdout += data;
      this.#heard();
    });
    this.child.stderr?.on('data', (data) => {
      this.stderr += data;
      this.#heard();
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
        this.#heard();
      });
    });
  }

  /** Resolves once it has said `text`; rejects when it ends or `READY_MS` pass before. */
  async says(text: string): Promise<void> {
    const until = performance.now() + READY_MS;
    while (!`${this.stdout}${this.stderr}`.includes(text)) {
      const isOver = this.child.exitCode !== null || performance.now() > until;
      if (isOver) throw new Error(`it never said '${text}': ${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#heard = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** A mounted file system in a directory of its own. */
export class Mounted {
  readonly command: Command;
  /** The mount point. */
  readonly dir: string;
  /** What a `dir:` mount serves. */
  readonly backing: string;
  readonly #base: string;

  /** Use mounted(). */
  constructor(kind: 'memory' | 'dir', options: string, size: string, filesMax?: number, tmpfs?: string) {
    this.#base = mkdtempSync(join(tmpdir(), 'virtiofs-kernel-'));
    this.dir = join(this.#base, 'mount');
    this.backing = join(this.#base, 'backing');
    mkdirSync(this.dir);
    mkdirSync(this.backing);
    execFileSync('chmod', ['755', this.#base]);
    if (kind === 'dir' && tmpfs !== undefined) this.#mountBacking(tmpfs);
    const spec = kind === 'dir' ? `dir:${this.backing}` : `memory${size}`;
    this.command = new Command(['mount', spec, this.dir, '-o', options], undefined, filesMax);
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** Runs a script in the mount, and fails with what it said. */
  sh(script: string, uid = 0): string {
    const options = { cwd: this.dir, uid, gid: uid, stdio: 'pipe' } as const;
    return execFileSync('/bin/sh', ['-ec', script], options).toString().trim();
  }

  /** Runs a script that fails, and returns what it complained about. */
  fails(script: string, uid = 0): string {
    try {
      this.sh(script, uid);
    } catch (error) {
      return String((error as { stderr?: string }).stderr).trim();
    }
    throw new Error(`'${script}' worked`);
  }

  /**
   * Unmounts, waits for the end, lets somebody look at the backing, removes the directories. Whatever state it is in,
   * nothing is left.
   */
  async stop(look: (backing: string) => void = () => {}): Promise<Ended> {
    if (isMounted(this.dir)) umount(this.dir);
    const timer = setTimeout(() => this.command.child.kill('SIGKILL'), 15_000);
    const ended = await this.command.ended;
    clearTimeout(timer);
    if (isMounted(this.dir)) umount(this.dir, '-l');
    rmdirSync(this.dir);
    look(this.backing);
    if (isMounted(this.backing)) umount(this.backing);
    rmSync(this.#base, { recursive: true });
    if (LEAK.test(ended.stderr)) throw new Error(`the mount leaks: ${ended.stderr}`);
    return ended;
  }

  #mountBacking(size: string): void {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'virtiofs-test', this.backing]);
  }
}

/** Mounts, and resolves when it is ready. The server may have `filesMax` open; `dir` serves a tmpfs of a size. */
export async function mounted(
  kind: 'memory' | 'dir',
  options = 'allow_other',
  size = '',
  filesMax?: number,
  tmpfs?: string,
): Promise<Mounted> {
  const mount = new Mounted(kind, options, size, filesMax, tmpfs);
  try {
    await mount.command.says('mounted');
  } catch (error) {
    await mount.stop();
    throw error;
  }
  return mount;
}

export function isMounted(dir: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${dir} `);
}

export function umount(dir: string, ...flags: string[]): void {
  try {
    execFileSync('umount', [...flags, dir], { stdio: 'pipe' });
  } catch (error) {
    if (flags.length > 0) throw error;
    execFileSync('umount', ['-l', dir], { stdio: 'pipe' });
  }
}

/** Returns the code of the error that `work` throws; 'OK' if it throws none. */
export function codeOf(work: () => unknown): string {
  try {
    work();
    return 'OK';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

function findReason(): string | undefined {
  const reason = reasonHere();
  if (reason === undefined) return undefined;
  const isRequired = (process.env['VIRTIOFS_REQUIRE'] ?? '').split(',').includes('fuse');
  if (isRequired) throw new Error(`VIRTIOFS_REQUIRE asks for fuse, but ${reason}`);
  return reason;
}

function reasonHere(): string | undefined {
  if (process.platform !== 'linux') return `no Linux but ${process.platform}`;
  if (process.geteuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/fuse')) return 'no /dev/fuse';
  return existsSync(CLI) ? undefined : 'no dist/cli.js: npm run build';
}
