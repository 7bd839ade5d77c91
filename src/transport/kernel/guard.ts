/**
 * A process of its own that breaks a mount's connection when the host's thread is gone, or the whole process: nobody
 * else can. Who dies, or starts a child, while it has files of the mount open that it serves itself, tells the kernel
 * of their closing and waits for the answer, with /dev/fuse still open: it would wait for itself, SIGKILL or not.
 *
 * It looks once a second, with nothing but sh's own words: is the thread there, and is the process more than a zombie?
 * (Of a process that dies, all threads but one are gone at once; the last may be the one that waits.) SIGTERM: look no
 * more, break it now.
 * SPEC: Linux, fs/fuse/file.c, fuse_flush: a forced request; kernel/exit.c, exit_files before exit_task_work.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';

// $1: the process; $2: the host's thread; $3: the mount's source; $4: where it is mounted. The source is the mount's
// alone: by now somebody else may have mounted there.
const SCRIPT = `
cd /
trap 'told=1' TERM
echo up
exec >&-
while [ -z "$told" ] && [ -e "/proc/$1/task/$2" ] && read -r line <"/proc/$1/stat"; do
  case \${line##*) } in [ZX]*) break ;; esac
  sleep 1 &
  wait $!
done
while read -r source rest; do
  if [ "$source" = "$3" ]; then exec umount -i -f -l -- "$4"; fi
done </proc/self/mounts`;

/** The kernel's number of the calling thread; 0 where there is none to be known. */
export function threadNumber(): number {
  try {
    return Number(basename(readlinkSync('/proc/thread-self')));
  } catch {
    return 0;
  }
}

export class Guard {
  readonly #child: ChildProcess;
  /** Resolves when it is on guard, or never will be. */
  readonly up: Promise<void>;
  readonly #ended: Promise<void>;
  #isOver = false;

  /** `thread`: the host's. Let it be up before anybody here opens a file of the mount. */
  constructor(thread: number, source: string, mountPoint: string) {
    const args = ['-c', SCRIPT, 'virtiofs-guard', String(process.pid), String(thread), source, mountPoint];
    // In a session of its own: what ends us all at once must not end it.
    this.#child = spawn('/bin/sh', args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    this.#child.unref();
    this.#ended = new Promise((resolve) => {
      const over = () => {
        this.#isOver = true;
        resolve();
      };
      this.#child.once('exit', over);
      this.#child.once('error', over);
    });
    // It says one word, and closes.
    const said = new Promise<void>((resolve) => this.#child.stdout?.resume().once('end', resolve));
    this.up = Promise.race([said, this.#ended]);
  }

  /** Breaks the connection, and waits until that is done. False if the guard was no more, or had no luck. */
  async strike(): Promise<boolean> {
    if (this.#isOver || !this.#child.kill('SIGTERM')) return false;
    this.#child.ref();
    await this.#ended;
    return this.#child.exitCode === 0;
  }

  /** The mount is gone. */
  dismiss(): void {
    if (this.#isOver || this.#child.pid === undefined) return;
    try {
      // And its sleep.
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch (error) {
      // It went by itself just now.
      if ((error as { code?: string }).code !== 'ESRCH') throw error;
    }
  }
}
