/**
 * Random operations on the memory file system and on a directory of the machine the test runs on: same errno, same
 * tree. The kernel is the model, so the order in which errors are found counts too.
 */
import * as nodeFs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { EEXIST, ENOENT, ENOTDIR, EPERM, OK } from '../../src/wire/errno.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR, O_TRUNC, S_IFDIR, S_IFLNK, S_IFMT } from '../../src/wire/mode.ts';
import { type Client, type Entry, ok } from '../host/client.ts';
import { boot } from '../host/world.ts';

const SEEDS = [1, 2, 3, 4];
const STEPS = 1500;
const NAMES = ['a', 'b', 'c', 'd', 'e'];
const top = nodeFs.mkdtempSync(join(tmpdir(), 'memory-random-'));

afterAll(() => nodeFs.rmSync(top, { recursive: true, force: true }));

/** Every operation as an errno, by path; symlinks lead nowhere, so a path through one is ENOENT. */
interface Subject {
  mkdir(path: string): number;
  rmdir(path: string): number;
  unlink(path: string): number;
  symlink(path: string, target: string): number;
  link(path: string, to: string): number;
  rename(path: string, to: string): number;
  write(path: string, pos: number, text: string, flags: number): number;
  truncate(path: string, size: number): number;
  chmod(path: string, mode: number): number;
  list(path: string): string[];
  /** Everything about one object, as text. */
  describe(path: string): string;
}

class Memory implements Subject {
  readonly client: Client;
  constructor(client: Client) {
    this.client = client;
  }
  mkdir = (path: string) => this.#at(path, (d, name) => this.#done(this.client.mkdir(d, name)));
  rmdir = (path: string) => this.#at(path, (d, name) => this.client.rmdir(d, name));
  unlink = (path: string) => this.#at(path, (d, name) => this.client.unlink(d, name));
  symlink = (path: string, target: string) =>
    this.#at(path, (d, name) => this.#done(this.client.symlink(d, name, target)));
  link = (path: string, to: string) =>
    this.#on(path, (file) => this.#at(to, (d, name) => this.#link(file.nodeid, d, name)));
  rename = (path: string, to: string) =>
    this.#at(path, (d, name) => this.#at(to, (newD, newName) => this.client.rename(d, name, newD, newName)));
  write(path: string, pos: number, text: string, flags: number): number {
    return this.#at(path, (d, name) => {
      const file = this.client.create(d, name, O_RDWR | flags, 0o644);
      if (typeof file === 'number') return file;
      expect(this.client.write(file.nodeid, file.fh, pos, text)).toBe(text.length);
      return this.client.release(file.nodeid, file.fh);
    });
  }
  truncate = (path: string, size: number) =>
    this.#on(path, (file) => {
      // truncate(2) follows the link, which leads nowhere.
      if ((file.attr.mode & S_IFMT) === S_IFLNK) return ENOENT;
      return this.#done(this.client.setattr(file.nodeid, { valid: FATTR_FLAGS.FATTR_SIZE, size }));
    });
  chmod = (path: string, mode: number) =>
    this.#on(path, (file) => {
      if ((file.attr.mode & S_IFMT) === S_IFLNK) return ENOENT;
      return this.#done(this.client.setattr(file.nodeid, { valid: FATTR_FLAGS.FATTR_MODE, mode }));
    });
  list(path: string): string[] {
    let names: string[] = [];
    this.#on(path, (d) => {
      names = this.client.names(d.nodeid);
      return OK;
    });
    return names;
  }
  describe(path: string): string {
    let text = '';
    this.#on(path, ({ nodeid, attr }) => {
      const type = attr.mode & S_IFMT;
      text = `${attr.mode.toString(8)} `;
      if (type === S_IFLNK) text += this.client.readlink(nodeid);
      else if (type !== S_IFDIR) {
        const fh = this.client.open(nodeid, 0);
        const data = ok(this.client.read(nodeid, fh, 0, 65536));
        this.client.release(nodeid, fh);
        text += `${attr.nlink} ${attr.size} ${Buffer.from(data).toString('base64')}`;
      }
      return OK;
    });
    return text;
  }

  /** link(2) looks at the new name first. */
  #link(nodeid: number, d: number, name: string): number {
    const errno = this.#done(this.client.link(nodeid, d, name));
    return errno === EPERM && typeof this.client.lookup(d, name) !== 'number' ? EEXIST : errno;
  }
  #done(result: object | number): number {
    return typeof result === 'number' ? result : OK;
  }
  #at(path: string, act: (parent: number, name: string) => number): number {
    const slash = path.lastIndexOf('/');
    const parent = this.#walk(path.slice(0, Math.max(0, slash)));
    if (typeof parent === 'number') return parent;
    const type = parent.attr.mode & S_IFMT;
    if (type !== S_IFDIR) return type === S_IFLNK ? ENOENT : ENOTDIR;
    return act(parent.nodeid, path.slice(slash + 1));
  }
  #on(path: string, act: (entry: Pick<Entry, 'nodeid' | 'attr'>) => number): number {
    const entry = this.#walk(path);
    return typeof entry === 'number' ? entry : act(entry);
  }
  #walk(path: string): Pick<Entry, 'nodeid' | 'attr'> | number {
    let at: Pick<Entry, 'nodeid' | 'attr'> = { nodeid: 1, attr: ok(this.client.getattr(1)) };
    for (const name of path.split('/').filter((part) => part !== '')) {
      if ((at.attr.mode & S_IFMT) === S_IFLNK) return ENOENT;
      const next = this.client.lookup(at.nodeid, name);
      if (typeof next === 'number') return next;
      at = next;
    }
    return at;
  }
}

class Kernel implements Subject {
  readonly #root: string;
  constructor(root: string) {
    this.#root = root;
  }
  mkdir = (path: string) => this.#try(() => nodeFs.mkdirSync(this.#abs(path), 0o755));
  rmdir = (path: string) => this.#try(() => nodeFs.rmdirSync(this.#abs(path)));
  unlink = (path: string) => this.#try(() => nodeFs.unlinkSync(this.#abs(path)));
  symlink = (path: string, target: string) => this.#try(() => nodeFs.symlinkSync(target, this.#abs(path)));
  link = (path: string, to: string) => this.#try(() => nodeFs.linkSync(this.#abs(path), this.#abs(to)));
  rename = (path: string, to: string) => this.#try(() => nodeFs.renameSync(this.#abs(path), this.#abs(to)));
  write(path: string, pos: number, text: string, flags: number): number {
    return this.#try(() => {
      const fd = nodeFs.openSync(this.#abs(path), O_RDWR | O_CREAT | O_NOFOLLOW | flags, 0o644);
      nodeFs.writeSync(fd, text, pos);
      nodeFs.closeSync(fd);
    });
  }
  truncate = (path: string, size: number) => this.#try(() => nodeFs.truncateSync(this.#abs(path), size));
  chmod = (path: string, mode: number) => this.#try(() => nodeFs.chmodSync(this.#abs(path), mode));
  list = (path: string) => nodeFs.readdirSync(this.#abs(path));
  describe(path: string): string {
    const stat = nodeFs.lstatSync(this.#abs(path));
    const text = `${stat.mode.toString(8)} `;
    if (stat.isDirectory()) return text;
    if (stat.isSymbolicLink()) return text + nodeFs.readlinkSync(this.#abs(path));
    return `${text}${stat.nlink} ${stat.size} ${nodeFs.readFileSync(this.#abs(path)).toString('base64')}`;
  }
  #abs(path: string): string {
    return `${this.#root}/${path}`;
  }
  #try(act: () => void): number {
    try {
      act();
      return OK;
    } catch (error) {
      return -((error as NodeJS.ErrnoException).errno ?? Number.NaN);
    }
  }
}

type Step = readonly [name: string, run: (subject: Subject) => number];

function randomStep(random: Prng): Step {
  const path = randomPath(random);
  const other = randomPath(random);
  const n = random.below(12_000);
  const flags = random.pick([0, O_EXCL, O_TRUNC]);
  const steps: readonly Step[] = [
    [`mkdir ${path}`, (s) => s.mkdir(path)],
    [`mkdir ${path}`, (s) => s.mkdir(path)],
    [`rmdir ${path}`, (s) => s.rmdir(path)],
    [`unlink ${path}`, (s) => s.unlink(path)],
    [`symlink ${path}`, (s) => s.symlink(path, `nowhere-${n}`)],
    [`link ${path} ${other}`, (s) => s.link(path, other)],
    [`rename ${path} ${other}`, (s) => s.rename(path, other)],
    [`rename ${path} ${other}`, (s) => s.rename(path, other)],
    [`write ${path} ${n} ${flags}`, (s) => s.write(path, n, `text ${n}`, flags)],
    [`write ${path} ${n} ${flags}`, (s) => s.write(path, n, `text ${n}`, flags)],
    [`truncate ${path} ${n}`, (s) => s.truncate(path, n)],
    [`chmod ${path} ${n}`, (s) => s.chmod(path, n & 0o777)],
  ];
  return random.pick(steps);
}

function randomPath(random: Prng): string {
  return Array.from({ length: 1 + random.below(3) }, () => random.pick(NAMES)).join('/');
}

function wholeTree(subject: Subject, path = ''): string[] {
  return subject
    .list(path)
    .sort()
    .flatMap((name) => {
      const child = path === '' ? name : `${path}/${name}`;
      const text = subject.describe(child);
      const isDirectory = (Number.parseInt(text, 8) & S_IFMT) === S_IFDIR;
      return [`${child} ${text}`, ...(isDirectory ? wholeTree(subject, child) : [])];
    });
}

describe('memory and kernel agree', () => {
  test.each(SEEDS)(`seed %i, ${STEPS} steps`, (seed) => {
    const random = new Prng(seed);
    const { client, check } = boot();
    const root = join(top, String(seed));
    nodeFs.mkdirSync(root);
    const memory = new Memory(client);
    const kernel = new Kernel(root);
    for (let i = 0; i < STEPS; i++) {
      const [name, run] = randomStep(random);
      const expected = run(kernel);
      expect(run(memory), `seed ${seed}, step ${i}: ${name}`).toBe(expected);
      if (i % 50 !== 0) continue;
      expect(wholeTree(memory), `seed ${seed}, after step ${i}: ${name}`).toEqual(wholeTree(kernel));
      check();
    }
    expect(wholeTree(memory).length).toBeGreaterThan(5);
  });
});
