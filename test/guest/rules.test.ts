/** The rules of the manual pages that hold on kernel mounts (test/kernel/posix-rules), for a guest's system calls. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { File } from '../../src/guest/open-file.ts';
import * as m from '../../src/wire/mode.ts';
import { boot, codeOf, type World } from './world.ts';

const TABLE = join(import.meta.dirname, '../kernel/posix-rules/rules.txt');
/** What a guest does not have, or what would exceed PATH_MAX with the rule's directory in front. */
const LACKING = /linkheld|linkfollow|setxattr|getxattr|limit|\bpath\b|tmpfile|9223372036854775807|%p|^open [pc] /;
const FLAGS: Readonly<Record<string, number>> = {
  rdonly: m.O_RDONLY,
  wronly: m.O_WRONLY,
  rdwr: m.O_RDWR,
  creat: m.O_CREAT,
  excl: m.O_EXCL,
  trunc: m.O_TRUNC,
  nofollow: m.O_NOFOLLOW,
  directory: m.O_DIRECTORY,
  noatime: m.O_NOATIME,
};
const TYPES: Readonly<Record<string, number>> = {
  p: m.S_IFIFO,
  s: m.S_IFSOCK,
  c: m.S_IFCHR,
  b: m.S_IFBLK,
  f: m.S_IFREG,
};
const ACCESS: Readonly<Record<string, number>> = { r: 4, w: 2, x: 1 };

interface Rule {
  readonly title: string;
  readonly lines: readonly string[];
}

function rules(): Rule[] {
  const parts = readFileSync(TABLE, 'utf8').split(/^= /m).slice(1);
  return parts.map((part) => {
    const [title = '', ...lines] = part.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return { title, lines };
  });
}

/** One rule, run in a directory of its own by one guest. */
class Runner {
  readonly complaints: string[] = [];
  readonly #world: World;
  #held: File | undefined;
  #marked: readonly bigint[] = [];
  #umask = 0;

  constructor(world: World) {
    this.#world = world;
    world.guest.mkdir('/rule', { mode: 0o777 });
    world.guest.chmod('/rule', 0o777);
  }

  run(lines: readonly string[]): void {
    for (const line of lines) {
      // What follows may need what is left out.
      if (LACKING.test(line.replace(/^(@\S+ )?(E\S+ )?/, ''))) break;
      this.#runLine(line);
    }
    this.#held?.close();
  }

  #runLine(line: string): void {
    const words = line.split(' ');
    const who = words[0]?.startsWith('@') === true ? (words.shift() as string).slice(1) : '0';
    const expected = /^E/.test(words[0] as string) ? (words.shift() as string).split('|') : ['OK'];
    const [uid = 0, ...groups] = who.split(/[:,]/).map(Number);
    let got = '';
    // A process of a guest has one group: one of them must do.
    for (const gid of groups.length === 0 ? [uid] : groups.toReversed()) {
      this.#world.guest.mount.session.credentials = { uid, gid, pid: 1, umask: this.#umask };
      got = codeOf(() => this.#call(words[0] as string, words.slice(1)));
      // As in node:fs, numbers that mean nothing are no system call; EOPNOTSUPP has two names.
      if (got.startsWith('RangeError')) got = 'EINVAL';
      if (got === 'ENOTSUP') got = 'EOPNOTSUPP';
      if (expected.includes(got)) break;
    }
    this.#world.guest.mount.session.credentials = { uid: 0, gid: 0, pid: 1, umask: this.#umask };
    if (!expected.includes(got)) this.complaints.push(`'${line}' is ${got}`);
  }

  #path(word: string): string {
    return word === "''" ? '' : `/rule/${expanded(word)}`;
  }

  #call(call: string, words: readonly string[]): void {
    const [first = '', second = '', third = ''] = words;
    const { guest } = this.#world;
    const path = this.#path(first);
    const numbers = words.map(Number);
    const [, two = 0, three = 0] = numbers;
    const octal = Number.parseInt(second, 8);
    const held = this.#held as File;
    const size = numbers[0] as number;
    const calls: Readonly<Record<string, () => unknown>> = {
      mkdir: () => guest.mkdir(path, { mode: octal }),
      create: () => guest.open(path, m.O_CREAT | m.O_EXCL | m.O_WRONLY, octal).close(),
      open: () => guest.open(path, flagsOf(second)).close(),
      hold: () => this.#hold(path, second),
      list: () => guest.opendir(path).close(),
      unlink: () => guest.unlink(path),
      rmdir: () => guest.rmdir(path),
      rename: () => guest.rename(path, this.#path(second)),
      renameat2: () => this.#rename2(path, this.#path(second), three),
      link: () => guest.link(path, this.#path(second)),
      symlink: () => guest.symlink(first === "''" ? '' : expanded(first), this.#path(second)),
      readlink: () => guest.readlink(path),
      chmod: () => guest.chmod(path, octal),
      chown: () => guest.chown(path, two, three),
      lchown: () => guest.lchown(path, two, three),
      truncate: () => guest.truncate(path, two),
      stat: () => guest.stat(path),
      access: () =>
        guest.access(
          path,
          [...second].reduce((mask, letter) => mask | (ACCESS[letter] ?? 0), 0),
        ),
      mknod: () => guest.mknod(path, (TYPES[second] as number) | Number.parseInt(third, 8), Number(words[3])),
      utimens: () => guest.lutimens(path, timeOf(second), timeOf(third)),
      fchmod: () => held.chmod(Number.parseInt(first, 8)),
      fchown: () => held.chown(size, two),
      ftruncate: () => held.truncate(size),
      fallocate: () => held.allocate(two, three, size),
      write: () => held.write(new Uint8Array(size)),
      seek: () => held.seek(size),
      nlinkheld: () => this.#same('nlink', held.stat().nlink, size),
      umask: () => {
        this.#umask = Number.parseInt(first, 8);
      },
      mark: () => this.#mark(path),
      moved: () => this.#same(`times of ${first} that moved`, this.#moved(path, second), second),
    };
    const run = calls[call];
    if (run === undefined) this.#look(call, path, second);
    else run();
  }

  #look(field: string, path: string, expected: string): void {
    const stats = this.#world.guest.lstat(path);
    const isOctal = field === 'mode';
    const values: Readonly<Record<string, number>> = {
      mode: stats.mode & 0o7777,
      nlink: stats.nlink,
      size: stats.size,
      rdev: stats.rdev,
      uid: stats.uid,
      gid: stats.gid,
      atime: stats.atimeSec,
      mtime: stats.mtimeSec,
    };
    this.#same(`${field} of ${path}`, values[field], isOctal ? Number.parseInt(expected, 8) : Number(expected));
  }

  #same(what: string, value: unknown, expected: unknown): void {
    if (value !== expected) this.complaints.push(`${what} is ${value}, should be ${expected}`);
  }

  #hold(path: string, flags: string): void {
    const file = this.#world.guest.open(path, flagsOf(flags));
    this.#held?.close();
    this.#held = file;
  }

  #rename2(path: string, newPath: string, flags: number): void {
    if ((flags & ~3) !== 0 || flags === 3) throw Object.assign(new Error('no such flags'), { code: 'EINVAL' });
    this.#world.guest.rename(path, newPath, { noReplace: flags === 1, exchange: flags === 2 });
  }

  #times(path: string): bigint[] {
    const { atimeNs, mtimeNs, ctimeNs } = this.#world.guest.lstat(path);
    return [atimeNs, mtimeNs, ctimeNs];
  }

  #mark(path: string): void {
    this.#marked = this.#times(path);
    this.#world.clock.advance(10);
  }

  #moved(path: string, expected: string): string {
    const moved = this.#times(path).map((time, i) => (time === this.#marked[i] ? '' : 'amc'[i]));
    if (!expected.includes('a')) moved[0] = '';
    return moved.join('') || '-';
  }
}

function flagsOf(text: string): number {
  return text.split('+').reduce((flags, word) => flags | (FLAGS[word] as number), 0);
}

function timeOf(word: string): 'now' | 'omit' | { sec: number; nsec: number } {
  return word === 'now' || word === 'omit' ? word : { sec: Number(word), nsec: 0 };
}

function expanded(word: string): string {
  return word.replaceAll(/%(\d+)/g, (_, size) => 'n'.repeat(Number(size)));
}

test.each(rules())('$title', ({ lines }) => {
  const world = boot({});
  const runner = new Runner(world);
  runner.run(lines);
  expect(runner.complaints).toEqual([]);
  world.check();
  world.unmountAll();
});
