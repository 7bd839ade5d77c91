import { describe, expect, test } from 'vitest';
import { EEXIST, EINVAL, EISDIR, EMLINK, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, OK } from '../../src/wire/errno.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import { FallocateIn } from '../../src/wire/fuse.ts';
import { FALLOC_FL_ZERO_RANGE, RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFREG } from '../../src/wire/mode.ts';
import { bytes, type Client, ok } from '../host/client.ts';
import { boot } from '../host/world.ts';

const { FATTR_MODE, FATTR_UID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_KILL_SUIDGID } = FATTR_FLAGS;
const ONE_SECOND = 1000;

/** f, g: files; d: directory with a file; e: empty directory; d/sub/deep: directories. */
function tree(client: Client): void {
  ok(client.create(1, 'f'));
  ok(client.create(1, 'g'));
  ok(client.symlink(1, 'l', 'f'));
  const d = ok(client.mkdir(1, 'd'));
  ok(client.create(d.nodeid, 'x'));
  ok(client.mkdir(1, 'e'));
  const sub = ok(client.mkdir(d.nodeid, 'sub'));
  ok(client.mkdir(sub.nodeid, 'deep'));
}

function at(client: Client, path: string): readonly [nodeid: number, name: string] {
  const parts = path.split('/');
  const name = parts.pop() as string;
  return [parts.reduce((nodeid, part) => ok(client.lookup(nodeid, part)).nodeid, 1), name];
}

function nlink(client: Client, path: string): number {
  return ok(client.lookup(...at(client, path))).attr.nlink;
}

describe('rename', () => {
  test.each([
    ['f', 'new', 0, OK],
    ['f', 'g', 0, OK],
    ['f', 'l', 0, OK],
    ['l', 'f', 0, OK],
    ['f', 'f', 0, OK],
    ['f', 'd', 0, EISDIR],
    ['f', 'e', 0, EISDIR],
    ['d', 'f', 0, ENOTDIR],
    ['d', 'e', 0, OK],
    ['e', 'd', 0, ENOTEMPTY],
    ['d', 'd/sub/y', 0, EINVAL],
    ['d', 'd/sub', 0, EINVAL],
    ['d', 'd/sub/deep/y', 0, EINVAL],
    ['d/sub/deep', 'd/sub', 0, ENOTEMPTY],
    ['d/x', 'd', 0, ENOTEMPTY],
    ['d/sub', 'e/moved', 0, OK],
    ['d/sub', 'e', 0, OK],
    ['nothing', 'f', 0, ENOENT],
    ['f', 'g', RENAME_NOREPLACE, EEXIST],
    ['f', 'f', RENAME_NOREPLACE, EEXIST],
    ['f', 'new', RENAME_NOREPLACE, OK],
    ['f', 'g', RENAME_EXCHANGE, OK],
    ['f', 'd', RENAME_EXCHANGE, OK],
    ['d/sub', 'f', RENAME_EXCHANGE, OK],
    ['d/sub/deep', 'e', RENAME_EXCHANGE, OK],
    ['f', 'new', RENAME_EXCHANGE, ENOENT],
    ['d', 'd/sub/deep', RENAME_EXCHANGE, EINVAL],
    ['d/sub/deep', 'd', RENAME_EXCHANGE, EINVAL],
  ] as const)('%s → %s with flags %i is errno %i', (from, to, flags, errno) => {
    const { client, check } = boot();
    tree(client);
    const [parent, name] = at(client, from);
    const [newParent, newName] = at(client, to);
    expect(client.rename(parent, name, newParent, newName, flags)).toBe(errno);
    check();
  });

  test('between two names of one inode does nothing', () => {
    const { client } = boot();
    const f = ok(client.create(1, 'f'));
    ok(client.link(f.nodeid, 1, 'g'));
    expect(client.rename(1, 'f', 1, 'g')).toBe(OK);
    expect(client.names(1)).toEqual(['f', 'g']);
  });

  test('moves the ".." of a directory, and with it the link counts', () => {
    const { client } = boot();
    tree(client);
    const [d] = at(client, 'd/sub');
    const e = ok(client.lookup(1, 'e')).nodeid;
    client.rename(d, 'sub', e, 'sub');
    expect([nlink(client, 'd'), nlink(client, 'e'), nlink(client, 'e/sub')]).toEqual([2, 3, 3]);
    expect(ok(client.lookup(ok(client.lookup(e, 'sub')).nodeid, '..')).nodeid).toBe(e);
  });

  test('an exchange of a file and a directory moves the link that ".." is', () => {
    const { client } = boot();
    tree(client);
    const d = ok(client.lookup(1, 'd')).nodeid;
    client.rename(d, 'sub', 1, 'f', RENAME_EXCHANGE);
    expect([nlink(client, 'd'), ok(client.getattr(1)).nlink]).toEqual([2, 5]);
  });

  test('a replaced file that is open keeps its data', () => {
    const { client, check } = boot();
    const f = ok(client.create(1, 'f'));
    const g = ok(client.create(1, 'g'));
    client.write(g.nodeid, g.fh, 0, 'old');
    client.rename(1, 'f', 1, 'g');
    expect(ok(client.getattr(g.nodeid)).nlink).toBe(0);
    expect(ok(client.read(g.nodeid, g.fh, 0, 3))).toHaveLength(3);
    expect(ok(client.lookup(1, 'g')).nodeid).toBe(f.nodeid);
    check();
  });
});

describe('limits', () => {
  test('a write is short when space ends in the middle, and then ENOSPC', () => {
    const { client, check } = boot({ fs: { sizeLimit: 4 * 4096 } });
    const f = ok(client.create(1, 'f'));
    expect(client.write(f.nodeid, f.fh, 0, new Uint8Array(5 * 4096))).toBe(3 * 4096);
    expect(client.write(f.nodeid, f.fh, 3 * 4096, 'x')).toBe(-ENOSPC);
    expect(ok(client.getattr(f.nodeid)).size).toBe(3 * 4096);
    check();
    client.setattr(f.nodeid, { valid: FATTR_SIZE, size: 0 });
    expect(client.write(f.nodeid, f.fh, 0, 'x')).toBe(1);
    check();
  });

  test('names and inodes count, and come back', () => {
    const { client, check } = boot({ fs: { sizeLimit: 4096 } });
    const made = Array.from({ length: 100 }, (_, i) => client.mkdir(1, `d${i}`)).filter((d) => typeof d !== 'number');
    expect(made.length).toBe(12);
    expect(client.symlink(1, 'l', 'x')).toBe(ENOSPC);
    expect(client.rmdir(1, 'd0')).toBe(OK);
    client.session.close();
    check();
  });

  test('there are only so many inodes', () => {
    const { client } = boot({ fs: { maxInodes: 2 } });
    ok(client.mkdir(1, 'a'));
    ok(client.symlink(1, 'b', 'x'));
    expect(client.mknod(1, 'c', S_IFREG)).toBe(ENOSPC);
  });

  test('there are only so many links', () => {
    const { client } = boot({ fs: { linkMax: 3 } });
    const f = ok(client.mknod(1, 'f', S_IFREG));
    ok(client.link(f.nodeid, 1, 'g'));
    ok(client.link(f.nodeid, 1, 'h'));
    expect(client.link(f.nodeid, 1, 'i')).toBe(EMLINK);
    ok(client.mkdir(1, 'd'));
    expect(client.mkdir(1, 'e')).toBe(EMLINK);
  });

  test('fallocate reserves all it promises or nothing', () => {
    const { client, check } = boot({ fs: { sizeLimit: 4 * 4096 } });
    const f = ok(client.create(1, 'f'));
    const args = bytes(FallocateIn, { fh: f.fh, length: 100 * 4096 });
    expect(client.send('FALLOCATE', [args], { nodeid: f.nodeid }).errno).toBe(ENOSPC);
    expect(ok(client.getattr(f.nodeid)).blocks).toBe(0);
    check();
  });

  test('a range that cannot be zeroed for want of space keeps what is in it', () => {
    const { client, check } = boot({ fs: { sizeLimit: 4 * 4096 } });
    const f = ok(client.create(1, 'f'));
    client.write(f.nodeid, f.fh, 0, 'kept');
    const zero = (length: number) => bytes(FallocateIn, { fh: f.fh, length, mode: FALLOC_FL_ZERO_RANGE });
    expect(client.send('FALLOCATE', [zero(100 * 4096)], { nodeid: f.nodeid }).errno).toBe(ENOSPC);
    expect(ok(client.read(f.nodeid, f.fh, 0, 10))).toEqual(Uint8Array.from(Buffer.from('kept')));
    expect(client.send('FALLOCATE', [zero(3)], { nodeid: f.nodeid }).errno).toBe(OK);
    expect(ok(client.read(f.nodeid, f.fh, 0, 10))).toEqual(Uint8Array.from(Buffer.from('\0\0\0t')));
    check();
  });
});

describe('owners and modes', () => {
  function setgidDirectory(client: Client): number {
    const d = ok(client.mkdir(1, 'd'));
    client.setattr(d.nodeid, { valid: FATTR_MODE | FATTR_FLAGS.FATTR_GID, mode: 0o2777, gid: 50 });
    return d.nodeid;
  }

  test('in a setgid directory everything gets its group, and directories its setgid', () => {
    const { client } = boot();
    const d = setgidDirectory(client);
    client.uid = 7;
    client.gid = 8;
    const file = ok(client.create(d, 'f')).attr;
    const sub = ok(client.mkdir(d, 's', 0o755)).attr;
    expect([file.gid, sub.gid, sub.mode & 0o7777]).toEqual([50, 50, 0o2755]);
  });

  test.each([
    ['who is not in the group loses setgid', 8, 0o2755, 0o755],
    ['who is in the group keeps it', 50, 0o2755, 0o2755],
    ['without group execute it is kept', 8, 0o2745 & ~0o10, 0o2745 & ~0o10],
  ])('%s', (_, gid, asked, made) => {
    const { client } = boot();
    const d = setgidDirectory(client);
    client.uid = 7;
    client.gid = gid;
    expect(ok(client.mknod(d, 'f', S_IFREG | asked)).attr.mode & 0o7777).toBe(made);
  });

  test('chown clears set-user-ID and set-group-ID of files', () => {
    const { client } = boot();
    const f = ok(client.create(1, 'f', 2, 0o6755));
    expect(ok(client.setattr(f.nodeid, { valid: FATTR_UID, uid: 3 })).mode & 0o7777).toBe(0o755);
  });

  test('truncate clears them when told', () => {
    const { client } = boot();
    const f = ok(client.create(1, 'f', 2, 0o6755));
    expect(ok(client.setattr(f.nodeid, { valid: FATTR_SIZE })).mode & 0o7777).toBe(0o6755);
    expect(ok(client.setattr(f.nodeid, { valid: FATTR_SIZE | FATTR_KILL_SUIDGID })).mode & 0o7777).toBe(0o755);
  });

  test('chown of a directory keeps its bits', () => {
    const { client } = boot();
    const d = setgidDirectory(client);
    expect(ok(client.setattr(d, { valid: FATTR_UID, uid: 3 })).mode & 0o7777).toBe(0o2777);
  });
});

describe('times', () => {
  /** Runs `act` a second later and says which times of `nodeid` it moved. */
  function moved(world: ReturnType<typeof boot>, nodeid: number, act: () => void): string {
    const before = ok(world.client.getattr(nodeid));
    world.clock.advance(ONE_SECOND);
    act();
    const after = ok(world.client.getattr(nodeid));
    return (['atime', 'mtime', 'ctime'] as const).filter((time) => after[time] > before[time]).join(' ');
  }

  test('each operation moves the times that POSIX says', () => {
    const world = boot();
    const { client } = world;
    const f = ok(client.create(1, 'f'));
    expect(moved(world, f.nodeid, () => client.write(f.nodeid, f.fh, 0, 'abc'))).toBe('mtime ctime');
    expect(moved(world, f.nodeid, () => client.write(f.nodeid, f.fh, 0, ''))).toBe('');
    expect(moved(world, f.nodeid, () => client.setattr(f.nodeid, { valid: FATTR_MODE, mode: 0 }))).toBe('ctime');
    expect(moved(world, f.nodeid, () => client.setattr(f.nodeid, { valid: FATTR_SIZE, size: 9 }))).toBe('mtime ctime');
    expect(moved(world, f.nodeid, () => client.link(f.nodeid, 1, 'g'))).toBe('ctime');
    expect(moved(world, f.nodeid, () => client.unlink(1, 'g'))).toBe('ctime');
    expect(moved(world, f.nodeid, () => client.rename(1, 'f', 1, 'h'))).toBe('ctime');
    expect(moved(world, 1, () => client.mkdir(1, 'd'))).toBe('mtime ctime');
    expect(moved(world, 1, () => client.rename(1, 'd', 1, 'e'))).toBe('mtime ctime');
    expect(moved(world, 1, () => client.rmdir(1, 'e'))).toBe('mtime ctime');
    expect(moved(world, 1, () => client.lookup(1, 'h'))).toBe('');
  });

  test('atime is relatime: after a change, or once a day', () => {
    const world = boot();
    const { client, clock } = world;
    const f = ok(client.create(1, 'f'));
    client.write(f.nodeid, f.fh, 0, 'abc');
    const read = () => void client.read(f.nodeid, f.fh, 0, 3);
    expect(moved(world, f.nodeid, read)).toBe('atime');
    expect(moved(world, f.nodeid, read)).toBe('');
    clock.advance(86_400 * ONE_SECOND);
    expect(moved(world, f.nodeid, read)).toBe('atime');
    expect(moved(world, f.nodeid, () => client.read(f.nodeid, f.fh, 3, 3))).toBe('');
  });

  test('times that are set are kept', () => {
    const { client } = boot();
    const f = ok(client.create(1, 'f'));
    const attr = ok(client.setattr(f.nodeid, { valid: FATTR_SIZE | FATTR_ATIME | FATTR_MTIME, atime: 1, mtime: 2 }));
    expect([attr.atime, attr.mtime]).toEqual([1, 2]);
  });
});

test('a sparse file takes the pages it has', () => {
  const { client, check } = boot();
  const f = ok(client.create(1, 'f'));
  client.write(f.nodeid, f.fh, 2 ** 40, 'end');
  const attr = ok(client.getattr(f.nodeid));
  expect([attr.size, attr.blocks]).toEqual([2 ** 40 + 3, 8]);
  check();
});

test('when everything is removed and forgotten, all frames are back', () => {
  const { client, pages, check } = boot();
  const before = pages.pageCache.freeFrames;
  const f = ok(client.create(1, 'f'));
  client.write(f.nodeid, f.fh, 0, new Uint8Array(100_000));
  client.unlink(1, 'f');
  expect(pages.pageCache.freeFrames).toBeLessThan(before);
  client.session.close();
  check();
  expect(pages.pageCache.freeFrames).toBe(before);
});
