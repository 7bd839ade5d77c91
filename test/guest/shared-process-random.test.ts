/**
 * Random calls by three threads of one process, each on a CPU of its own, against a model of what POSIX says of
 * descriptors. Threads come and go, and at the end one may die. SEED=… chooses the first seed, GAMES how many.
 */
import { expect, test } from 'vitest';
import { bytesOfText } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { AT_FDCWD, type Process } from '../../src/guest/process.ts';
import * as e from '../../src/wire/errno.ts';
import * as m from '../../src/wire/mode.ts';
import { createInline, type InlineHost } from '../../src/worker/inline.ts';

const SEED = Number(process.env['SEED'] ?? 1);
const GAMES = Number(process.env['GAMES'] ?? 6);
const STEPS = 400;
const CPUS = 3;
const FILES = ['/a', '/b', '/d/c'];
const SIZE_MAX = 20_000;

interface Description {
  readonly file: string;
  readonly access: number;
  isAppend: boolean;
  pos: number;
}

/** What a process has, as POSIX has it. */
class Expected {
  readonly files = new Map<string, Uint8Array>(FILES.map((name) => [name, new Uint8Array()]));
  readonly fds: (Description | undefined)[] = [];

  get(fd: number): Description | undefined {
    return this.fds[fd];
  }

  add(description: Description, from = 0): number {
    let fd = from;
    while (this.fds[fd] !== undefined) fd++;
    this.fds[fd] = description;
    return fd;
  }

  read(fd: number, size: number, at?: number): Uint8Array | number {
    const description = this.get(fd);
    if (description === undefined || description.access === m.O_WRONLY) return -e.EBADF;
    const pos = at ?? description.pos;
    const found = (this.files.get(description.file) as Uint8Array).slice(pos, pos + size);
    if (at === undefined) description.pos += found.length;
    return found;
  }

  write(fd: number, bytes: Uint8Array, at?: number): number {
    const description = this.get(fd);
    if (description === undefined || description.access === m.O_RDONLY) return -e.EBADF;
    if (bytes.length === 0) return 0;
    const before = this.files.get(description.file) as Uint8Array;
    const pos = description.isAppend ? before.length : (at ?? description.pos);
    const after = new Uint8Array(Math.max(before.length, pos + bytes.length));
    after.set(before);
    after.set(bytes, pos);
    this.files.set(description.file, after);
    if (at === undefined) description.pos = pos + bytes.length;
    return bytes.length;
  }

  close(fd: number): number {
    const wasOpen = this.get(fd) !== undefined;
    this.fds[fd] = undefined;
    return wasOpen ? 0 : -e.EBADF;
  }

  truncate(fd: number, size: number): number {
    const description = this.get(fd);
    if (description === undefined) return -e.EBADF;
    if (description.access === m.O_RDONLY) return -e.EINVAL;
    const after = new Uint8Array(size);
    after.set((this.files.get(description.file) as Uint8Array).subarray(0, size));
    this.files.set(description.file, after);
    return 0;
  }

  seek(fd: number, offset: number, whence: number): number {
    const description = this.get(fd);
    if (description === undefined) return -e.EBADF;
    const size = (this.files.get(description.file) as Uint8Array).length;
    const pos = offset + (whence === m.SEEK_SET ? 0 : whence === m.SEEK_CUR ? description.pos : size);
    if (pos < 0) return -e.EINVAL;
    description.pos = pos;
    return pos;
  }
}

class Game {
  readonly prng: Prng;
  readonly host: InlineHost;
  readonly cpus: Guest[];
  readonly threads: Process[];
  readonly expected = new Expected();
  cwd = '/';

  constructor(prng: Prng, host: InlineHost) {
    this.prng = prng;
    this.host = host;
    const first = host.mount();
    this.cpus = [first, host.mount({ guest: first }), host.mount({ guest: first })];
    first.mkdir('/d');
    for (const name of FILES) first.writeFile(name, '');
    const process = first.spawn({ pid: 3 });
    const memory = process.share();
    this.threads = this.cpus.map((cpu, i) => (i === 0 ? process : cpu.join(memory)));
  }

  step(): void {
    const { prng, expected } = this;
    const thread = prng.pick(this.threads);
    const fd = prng.below(8);
    const size = prng.below(prng.chance(0.2) ? 9000 : 200);
    const at = prng.below(SIZE_MAX / 2);
    const buffer = new Uint8Array(size);
    const same = (outcome: number, wanted: Uint8Array | number, what: string) => {
      const got = typeof wanted === 'number' || outcome < 0 ? outcome : buffer.slice(0, outcome);
      expect(got, `${what} of ${fd}`).toEqual(wanted);
    };
    const bytes = Uint8Array.from({ length: size }, () => prng.below(256));
    const whence = prng.below(3);
    const offset = prng.below(200) - (whence === 0 ? 20 : 100);
    const read = () => same(thread.read(fd, buffer), expected.read(fd, size), 'read');
    const write = () => same(thread.write(fd, bytes), expected.write(fd, bytes), 'write');
    const calls: readonly (() => void)[] = [
      read,
      read,
      write,
      write,
      () => same(thread.pread(fd, buffer, 0, size, at), expected.read(fd, size, at), 'pread'),
      () => same(thread.pwrite(fd, bytes, 0, size, at), expected.write(fd, bytes, at), 'pwrite'),
      () => same(thread.lseek(fd, offset, whence), expected.seek(fd, offset, whence), 'lseek'),
      () => same(thread.close(fd), expected.close(fd), 'close'),
      () => same(thread.ftruncate(fd, at), expected.truncate(fd, at), 'ftruncate'),
      () => this.#open(thread),
      () => this.#open(thread),
      () => this.#dup(thread, fd),
      () => this.#setAppend(thread, fd),
      () => this.#changeDirectory(thread),
      () => this.#replaceThread(),
    ];
    prng.pick(calls)();
  }

  check(): void {
    this.host.core.server.checkInvariants();
    for (const cpu of this.cpus) cpu.mount.checkInvariants();
  }

  #open(thread: Process): void {
    const { prng, expected } = this;
    const file = prng.pick(FILES);
    const access = prng.below(3);
    const isAppend = prng.chance(0.3);
    // Every other time from where the process is.
    const path = prng.chance(0.5) ? file : this.cwd === '/' ? file.slice(1) : `..${file}`;
    const fd = thread.openat(AT_FDCWD, bytesOfText(path), access | (isAppend ? m.O_APPEND : 0));
    expect(fd, `open ${path} from ${this.cwd}`).toBe(expected.add({ file, access, isAppend, pos: 0 }));
    if (fd >= 10) {
      thread.close(fd);
      expected.fds[fd] = undefined;
    }
  }

  #dup(thread: Process, fd: number): void {
    const { prng, expected } = this;
    const description = expected.get(fd);
    const to = prng.below(10);
    if (prng.chance(0.5)) {
      const wanted = description === undefined ? -e.EBADF : expected.add(description, to);
      expect(thread.dup(fd, to)).toBe(wanted);
      return;
    }
    expect(thread.dup2(fd, to)).toBe(description === undefined ? -e.EBADF : to);
    if (description !== undefined) expected.fds[to] = description;
  }

  #setAppend(thread: Process, fd: number): void {
    const description = this.expected.get(fd);
    const isAppend = this.prng.chance(0.5);
    expect(thread.setFlags(fd, isAppend ? m.O_APPEND : 0)).toBe(description === undefined ? -e.EBADF : 0);
    if (description !== undefined) description.isAppend = isAppend;
  }

  #changeDirectory(thread: Process): void {
    this.cwd = this.prng.chance(0.5) ? '/' : '/d';
    expect(thread.chdir(bytesOfText(this.cwd))).toBe(0);
    expect(this.prng.pick(this.threads).getcwd()).toBe(this.cwd);
  }

  /** One leaves, another comes on the same CPU; now and then a CPU forgets what it can. */
  #replaceThread(): void {
    const i = this.prng.below(CPUS);
    const memory = (this.threads[i] as Process).share();
    (this.threads[i] as Process).leave();
    if (this.prng.chance(0.5)) (this.cpus[i] as Guest).dropCaches();
    this.threads[i] = (this.cpus[i] as Guest).join(memory);
  }
}

test.each(Array.from({ length: GAMES }, (_, i) => SEED + i))('threads of one process, seed %i', async (seed) => {
  const prng = new Prng(seed);
  const windowSize = seed % 2 === 0 ? 8 << 20 : 0;
  const host = await createInline({ cacheSize: 8 << 20, windowSize, guests: CPUS });
  const game = new Game(prng, host);
  for (let i = 0; i < STEPS; i++) {
    game.step();
    if (i % 16 === 0) game.check();
  }
  const [one, two] = game.cpus as [Guest, Guest, Guest];
  for (const [name, wanted] of game.expected.files) expect(one.readFile(name), name).toEqual(wanted.slice());
  if (seed % 3 === 0) {
    host.detach(two);
    expect(game.threads[0]?.openat(AT_FDCWD, bytesOfText('/a'), m.O_RDONLY)).toBe(-e.ESRCH);
  }
  game.threads[0]?.exit();
  // The others still stand in the working directory.
  game.threads[2]?.leave();
  if (seed % 3 !== 0) game.threads[1]?.leave();
  while (host.step());
  const [session] = [...host.core.server.sessions];
  expect(session?.handles.size).toBe(0);
  expect(session?.locks.count).toBe(0);
  for (const cpu of game.cpus) if (cpu !== two || seed % 3 !== 0) cpu.unmount();
  expect(one.mount.session.state).toBe('destroyed');
  host.core.server.checkInvariants();
  host.stop();
});
