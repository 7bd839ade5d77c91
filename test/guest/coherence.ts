/** A tree as it should be, for several guests that change it in turns; whoever looks must see exactly this. */
import { expect } from 'vitest';
import type { Guest } from '../../src/guest/guest.ts';
import type { File } from '../../src/guest/open-file.ts';
import { codeOf } from './world.ts';

export interface Node {
  readonly type: 'file' | 'directory' | 'symlink';
  /** Of a directory. */
  readonly entries: Map<string, Node>;
  data: Uint8Array;
  links: number;
  mode: number;
  readonly target: string;
}

export type RenameMode = 'plain' | 'noReplace' | 'exchange';

function node(type: Node['type'], mode: number, target = ''): Node {
  return { type, entries: new Map(), data: new Uint8Array(0), links: type === 'directory' ? 2 : 1, mode, target };
}

export class Tree {
  readonly root = node('directory', 0o755);

  /** What the path names; symlinks are not followed, and lead nowhere. */
  find(path: string): Node | undefined {
    let at: Node | undefined = this.root;
    for (const name of path.split('/').slice(1)) at = name === '' ? at : at?.entries.get(name);
    return at;
  }

  /** The directory that holds the path's last name, if there is one. */
  parent(path: string): Node | undefined {
    const found = this.find(path.slice(0, path.lastIndexOf('/')));
    return found?.type === 'directory' ? found : undefined;
  }

  /** Each of these tells whether it could be done. */
  make(path: string, type: Node['type'], mode: number, target = ''): boolean {
    const parent = this.parent(path);
    if (parent === undefined || this.find(path) !== undefined) return false;
    parent.entries.set(nameOf(path), node(type, mode, target));
    if (type === 'directory') parent.links++;
    return true;
  }

  write(path: string, data: Uint8Array, pos: number | 'end' | 'truncate'): boolean {
    if (this.find(path) === undefined && !this.make(path, 'file', 0o644)) return false;
    const file = this.find(path) as Node;
    if (file.type !== 'file') return false;
    if (pos === 'truncate') file.data = new Uint8Array(0);
    store(file, typeof pos === 'number' ? pos : file.data.length, data);
    return true;
  }

  truncate(path: string, size: number): boolean {
    const file = this.find(path);
    if (file?.type !== 'file') return false;
    resize(file, size);
    return true;
  }

  chmod(path: string, mode: number): boolean {
    const found = this.find(path);
    if (found === undefined || found.type === 'symlink') return false;
    found.mode = mode;
    return true;
  }

  remove(path: string, isDirectory: boolean): boolean {
    const found = this.find(path);
    if (found === undefined || (found.type === 'directory') !== isDirectory || found.entries.size > 0) return false;
    this.#drop(path, found);
    return true;
  }

  link(path: string, newPath: string): boolean {
    const found = this.find(path);
    const parent = this.parent(newPath);
    if (found === undefined || found.type === 'directory' || parent === undefined || this.find(newPath)) return false;
    parent.entries.set(nameOf(newPath), found);
    found.links++;
    return true;
  }

  rename(path: string, newPath: string, mode: RenameMode): boolean {
    const [found, there] = [this.find(path), this.find(newPath)];
    if (found === undefined || this.parent(newPath) === undefined) return false;
    if (mode === 'noReplace' ? there !== undefined : mode === 'exchange' && there === undefined) return false;
    if (found === there) return true;
    if (`${newPath}/`.startsWith(`${path}/`) || (mode === 'exchange' && path.startsWith(`${newPath}/`))) return false;
    if (mode !== 'exchange' && there !== undefined) {
      if ((there.type === 'directory') !== (found.type === 'directory') || there.entries.size > 0) return false;
      this.#drop(newPath, there);
    }
    this.#move(path, newPath, found, mode === 'exchange' ? there : undefined);
    return true;
  }

  #drop(path: string, found: Node): void {
    const parent = this.parent(path) as Node;
    parent.entries.delete(nameOf(path));
    found.links -= found.type === 'directory' ? 2 : 1;
    if (found.type === 'directory') parent.links--;
  }

  #move(path: string, newPath: string, found: Node, back: Node | undefined): void {
    const [from, to] = [this.parent(path) as Node, this.parent(newPath) as Node];
    from.entries.delete(nameOf(path));
    to.entries.set(nameOf(newPath), found);
    if (back !== undefined) from.entries.set(nameOf(path), back);
    const moved = Number(found.type === 'directory') - Number(back?.type === 'directory');
    from.links -= moved;
    to.links += moved;
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function resize(file: Node, size: number): void {
  const next = new Uint8Array(size);
  next.set(file.data.subarray(0, size));
  file.data = next;
}

export function store(file: Node, pos: number, data: Uint8Array): void {
  if (data.length > 0 && pos + data.length > file.data.length) resize(file, pos + data.length);
  file.data.set(data, data.length > 0 ? pos : 0);
}

/** The guest sees of this path what the tree says, and no more. */
export function expectSeen(guest: Guest, tree: Tree, path: string, who: string): void {
  const wanted = tree.find(path);
  if (wanted === undefined) {
    expect(
      codeOf(() => guest.lstat(path)),
      `${who}: ${path} is not there`,
    ).not.toBe('OK');
    return;
  }
  expect(
    codeOf(() => guest.lstat(path)),
    `${who}: ${path} is there`,
  ).toBe('OK');
  const stats = guest.lstat(path);
  const type = stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'symlink' : 'file';
  const seen = { type, mode: stats.mode & 0o777, links: stats.nlink };
  expect(seen, `${who}: ${path}`).toEqual({ type: wanted.type, mode: wanted.mode, links: wanted.links });
  if (type === 'symlink') expect(guest.readlink(path), `${who}: ${path}`).toBe(wanted.target);
  if (type === 'file') expect(stats.size, `${who}: size of ${path}`).toBe(wanted.data.length);
}

export function expectListed(guest: Guest, tree: Tree, path: string, who: string): void {
  const wanted = tree.find(path);
  if (wanted?.type !== 'directory') return;
  expect(guest.readdir(path).sort(), `${who}: names in ${path}`).toEqual([...wanted.entries.keys()].sort());
}

/** Through an open file: a read inside the file or over its end, and what fstat says. */
export function expectRead(file: File, wanted: Node, pos: number, size: number, who: string): void {
  const buffer = new Uint8Array(size);
  const n = file.read(buffer, 0, size, pos);
  const seen = Buffer.from(buffer.subarray(0, n));
  const isSame = seen.equals(wanted.data.subarray(pos, pos + size));
  expect(isSame, `${who}: read ${n} of ${size} bytes at ${pos} of ${wanted.data.length}`).toBe(true);
  expect([file.stat().size, file.stat().nlink], `${who}: fstat`).toEqual([wanted.data.length, wanted.links]);
}
