import { describe, expect, test } from 'vitest';
import type { MemoryFileSystem } from '../../src/fs/memory.ts';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { Caller } from '../../src/host/inode.ts';
import {
  EBADF,
  EFBIG,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  ENOSYS,
  ENOTDIR,
  ENXIO,
  EOPNOTSUPP,
  EROFS,
  ESTALE,
  OK,
} from '../../src/wire/errno.ts';
import { FOPEN_FLAGS, WRITE_FLAGS } from '../../src/wire/flags.ts';
import {
  CopyFileRangeIn,
  CopyFileRangeOut,
  FallocateIn,
  FlushIn,
  FsyncIn,
  LseekIn,
  LseekOut,
  OpenIn,
  OpenOut,
  ReadIn,
  WriteIn,
  WriteOut,
} from '../../src/wire/fuse.ts';
import { O_APPEND, O_DIRECTORY, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, S_IFIFO } from '../../src/wire/mode.ts';
import { decode } from '../../src/wire/struct.ts';
import { bytes, type Client, type OpenedEntry, ok } from './client.ts';
import { boot } from './world.ts';

const text = (data: Uint8Array | number): string => new TextDecoder().decode(ok(data));
const PAGE = 4096;

function fallocate(client: Client, file: OpenedEntry, mode: number, offset: number, length: number): number {
  return client.send('FALLOCATE', [bytes(FallocateIn, { fh: file.fh, mode, offset, length })], { nodeid: file.nodeid })
    .errno;
}

function lseek(client: Client, file: OpenedEntry, offset: number, whence: number): number {
  const { errno, body } = client.send('LSEEK', [bytes(LseekIn, { fh: file.fh, offset, whence })], {
    nodeid: file.nodeid,
  });
  return errno !== 0 ? -errno : LseekOut.offset.get(body, 0);
}

describe('OPEN', () => {
  test('of a directory is EISDIR, of a symlink ELOOP, of a fifo EINVAL, with O_DIRECTORY of a file ENOTDIR', () => {
    const { client } = boot();
    const l = ok(client.symlink(1, 'l', 'x'));
    const p = ok(client.mknod(1, 'p', S_IFIFO | 0o600));
    const a = ok(client.create(1, 'a'));
    expect([client.open(1, 0), client.open(l.nodeid, 0), client.open(p.nodeid, 0)]).toEqual([-EISDIR, -ELOOP, -EINVAL]);
    expect(client.open(a.nodeid, O_DIRECTORY)).toBe(-ENOTDIR);
  });

  test('with O_TRUNC empties the file iff ATOMIC_O_TRUNC was agreed on', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, 'abc');
    client.init({ flags: 0 });
    const again = ok(client.lookup(1, 'a'));
    client.open(again.nodeid, O_WRONLY | O_TRUNC);
    expect(ok(client.getattr(again.nodeid)).size).toBe(3);
    client.init();
    ok(client.lookup(1, 'a'));
    client.open(again.nodeid, O_WRONLY | O_TRUNC);
    expect(ok(client.getattr(again.nodeid)).size).toBe(0);
  });

  test.each([
    [O_RDONLY, 0],
    [O_WRONLY, EROFS],
    [O_RDWR, EROFS],
    [O_RDONLY | O_TRUNC, EROFS],
  ])('with flags %i on a read-only file system is errno %i', (flags, errno) => {
    const { attach, memory } = boot({ wrap: (fs) => new ReadOnlyFileSystem(fs) });
    const caller = Object.assign(new Caller(), { uid: 0, gid: 0, pid: 0, umask: 0 });
    memory.mknod(memory.root, 'a' as never, 0o100644, 0, caller);
    const client = attach();
    client.init();
    const a = ok(client.lookup(1, 'a'));
    expect(Math.min(0, client.open(a.nodeid, flags))).toBe(-errno || 0);
  });

  test('of a stale nodeid is ESTALE', () => {
    expect(boot().client.open(55, 0)).toBe(-ESTALE);
  });
});

describe('READ and WRITE', () => {
  test('what is written is read, across pages and by another client', () => {
    const { client, attach, check } = boot();
    const a = ok(client.create(1, 'a'));
    const data = Uint8Array.from({ length: 3 * PAGE + 17 }, (_, i) => i % 251);
    expect(client.write(a.nodeid, a.fh, 100, data)).toBe(data.length);
    const other = attach();
    other.init();
    const b = ok(other.lookup(1, 'a'));
    const fh = other.open(b.nodeid, O_RDONLY);
    expect(ok(other.read(b.nodeid, fh, 100, data.length))).toEqual(data);
    check();
  });

  test('READ is short at the end of the file and empty beyond it', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, 'abc');
    expect(text(client.read(a.nodeid, a.fh, 1, 100))).toBe('bc');
    expect(text(client.read(a.nodeid, a.fh, 3, 100))).toBe('');
    expect(text(client.read(a.nodeid, a.fh, 2 ** 53, 100))).toBe('');
  });

  test('an unknown fh, a released one and one of another inode are EBADF', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const b = ok(client.create(1, 'b'));
    client.release(b.nodeid, b.fh);
    const reads = [
      client.read(a.nodeid, 99, 0, 1),
      client.read(b.nodeid, b.fh, 0, 1),
      client.read(b.nodeid, a.fh, 0, 1),
    ];
    expect(reads).toEqual([EBADF, EBADF, EBADF]);
    expect(client.release(b.nodeid, b.fh)).toBe(EBADF);
  });

  test('another session’s fh means nothing', () => {
    const { client, attach } = boot();
    const a = ok(client.create(1, 'a'));
    const other = attach();
    other.init();
    ok(other.lookup(1, 'a'));
    expect(other.read(a.nodeid, a.fh, 0, 1)).toBe(EBADF);
  });

  test('an fh allows what it was opened for', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a', O_WRONLY));
    const fh = client.open(a.nodeid, O_RDONLY);
    expect(client.read(a.nodeid, a.fh, 0, 1)).toBe(EBADF);
    expect(client.write(a.nodeid, fh, 0, 'x')).toBe(-EBADF);
  });

  test('O_APPEND writes at the end as it is now, whatever position the client believes in', () => {
    const { client, attach } = boot();
    const a = ok(client.create(1, 'a', O_WRONLY | O_APPEND));
    const other = attach();
    other.init();
    const b = ok(other.lookup(1, 'a'));
    const fh = other.open(b.nodeid, O_RDWR | O_APPEND);
    client.write(a.nodeid, a.fh, 0, 'one ', { flags: O_APPEND });
    other.write(b.nodeid, fh, 0, 'two', { flags: O_APPEND });
    expect(text(other.read(b.nodeid, fh, 0, 100))).toBe('one two');
  });

  test('pages from a client’s cache go where they belong, O_APPEND or not', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a', O_RDWR | O_APPEND));
    client.write(a.nodeid, a.fh, 0, 'abc', { flags: O_APPEND });
    client.write(a.nodeid, a.fh, 0, 'X', { flags: O_APPEND, write_flags: WRITE_FLAGS.FUSE_WRITE_CACHE });
    expect(text(client.read(a.nodeid, a.fh, 0, 9))).toBe('Xbc');
  });

  test('WRITE whose size is not that of its data is EINVAL, and nothing is written', () => {
    const { client, lines } = boot();
    const a = ok(client.create(1, 'a'));
    const args = bytes(WriteIn, { fh: a.fh, size: 4 });
    expect(client.send('WRITE', [args], { nodeid: a.nodeid, data: new Uint8Array(3) }).errno).toBe(EINVAL);
    expect(ok(client.getattr(a.nodeid)).size).toBe(0);
    expect(lines).toHaveLength(1);
  });

  test('WRITE above max_write is EINVAL', () => {
    const { attach } = boot();
    const client = attach({ maxWrite: PAGE });
    client.init();
    const a = ok(client.create(1, 'a'));
    expect(client.write(a.nodeid, a.fh, 0, new Uint8Array(PAGE))).toBe(PAGE);
    expect(client.write(a.nodeid, a.fh, 0, new Uint8Array(PAGE + 1))).toBe(-EINVAL);
  });

  test('WRITE beyond the largest file is EFBIG', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    expect(client.write(a.nodeid, a.fh, Number.MAX_SAFE_INTEGER, 'xx')).toBe(-EFBIG);
  });

  test('READ without room for what it asks is EIO', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const args = bytes(ReadIn, { fh: a.fh, size: 100 });
    expect(client.send('READ', [args], { nodeid: a.nodeid, room: 16 + 99 }).errno).toBe(EIO);
    expect(client.send('READ', [args], { nodeid: a.nodeid, room: 16 + 100 }).errno).toBe(OK);
  });

  test('WRITE clears set-user-ID iff the client says so', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a', O_RDWR, 0o6755));
    client.write(a.nodeid, a.fh, 0, 'x');
    expect(ok(client.getattr(a.nodeid)).mode & 0o7777).toBe(0o6755);
    client.write(a.nodeid, a.fh, 0, 'x', { write_flags: WRITE_FLAGS.FUSE_WRITE_KILL_SUIDGID });
    expect(ok(client.getattr(a.nodeid)).mode & 0o7777).toBe(0o755);
  });
});

describe('FLUSH, FSYNC, SYNCFS', () => {
  test('know the handle', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const at = { nodeid: a.nodeid };
    expect(client.send('FLUSH', [bytes(FlushIn, { fh: a.fh })], at).errno).toBe(OK);
    expect(client.send('FSYNC', [bytes(FsyncIn, { fh: a.fh })], at).errno).toBe(OK);
    expect(client.send('FLUSH', [bytes(FlushIn, { fh: 9 })], at).errno).toBe(EBADF);
    expect(client.send('FSYNC', [bytes(FsyncIn, { fh: 9 })], at).errno).toBe(EBADF);
    expect(client.send('SYNCFS', [new Uint8Array(8)]).errno).toBe(OK);
  });
});

test.each([
  ['a client that keeps its locks to itself is told not to send FLUSH', { isAlone: true, localLocks: true }, ENOSYS],
  ['a client that is alone still has its locks kept by the host', { isAlone: true }, OK],
])('%s', (_, options, errno) => {
  const { attach } = boot();
  const client = attach(options);
  client.init();
  const a = ok(client.create(1, 'a'));
  expect(client.send('FLUSH', [bytes(FlushIn, { fh: a.fh })], { nodeid: a.nodeid }).errno).toBe(errno);
  for (const flag of ['FUSE_POSIX_LOCKS', 'FUSE_FLOCK_LOCKS'] as const) {
    expect(client.session.negotiated.has(flag)).toBe(errno === OK);
  }
});

test('a client that is alone keeps its pages of a file that has not changed since the last OPEN', () => {
  let keeps = true;
  const wrap = (fs: MemoryFileSystem) => Object.assign(fs, { keepsCache: () => keeps });
  const { client, attach } = boot({ wrap });
  const { nodeid } = ok(client.create(1, 'a'));
  const flagsOf = (each: typeof client) => {
    ok(each.lookup(1, 'a'));
    const { body } = each.send('OPEN', [bytes(OpenIn, {})], { nodeid });
    return OpenOut.open_flags.get(body, 0) & FOPEN_FLAGS.FOPEN_KEEP_CACHE;
  };
  const alone = attach({ isAlone: true });
  alone.init();
  expect([flagsOf(alone), flagsOf(client)]).toEqual([FOPEN_FLAGS.FOPEN_KEEP_CACHE, 0]);
  keeps = false;
  expect(flagsOf(alone)).toBe(0);
});

describe('FALLOCATE', () => {
  test.each([
    ['mode 0 grows the file', 0, 3 * PAGE, 3],
    ['KEEP_SIZE does not', 1, 10, 3],
    ['ZERO_RANGE grows', 0x10, 3 * PAGE, 3],
    ['ZERO_RANGE | KEEP_SIZE does not', 0x11, 10, 3],
  ])('%s', (_, mode, size, pages) => {
    const { client, check } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, '0123456789');
    expect(fallocate(client, a, mode, 0, 3 * PAGE)).toBe(OK);
    const attr = ok(client.getattr(a.nodeid));
    expect([attr.size, attr.blocks]).toEqual([size, pages * 8]);
    check();
  });

  test('PUNCH_HOLE gives pages back and zeroes the rest of the range', () => {
    const { client, check } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, new Uint8Array(3 * PAGE).fill(7));
    expect(fallocate(client, a, 3, 10, 2 * PAGE)).toBe(OK);
    const attr = ok(client.getattr(a.nodeid));
    expect([attr.size, attr.blocks]).toEqual([3 * PAGE, 16]);
    const data = ok(client.read(a.nodeid, a.fh, 0, 3 * PAGE));
    expect([data[9], data[10], data[2 * PAGE + 9], data[2 * PAGE + 10]]).toEqual([7, 0, 0, 7]);
    check();
  });

  test.each([
    ['an unknown mode', 0x40, 0, 1, EOPNOTSUPP],
    ['PUNCH_HOLE without KEEP_SIZE', 2, 0, 1, EOPNOTSUPP],
    ['nothing', 0, 0, 0, EINVAL],
    ['too far', 0, Number.MAX_SAFE_INTEGER, 5, EFBIG],
  ])('%s is refused', (_, mode, offset, length, errno) => {
    const { client } = boot();
    expect(fallocate(client, ok(client.create(1, 'a')), mode, offset, length)).toBe(errno);
  });

  test('needs a handle for writing', () => {
    const { client } = boot();
    expect(fallocate(client, ok(client.create(1, 'a', O_RDONLY)), 0, 0, 1)).toBe(EBADF);
  });
});

describe('LSEEK', () => {
  test('finds data and holes', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 2 * PAGE, 'x');
    expect([lseek(client, a, 0, 3), lseek(client, a, 0, 4), lseek(client, a, 2 * PAGE, 4)]).toEqual([
      2 * PAGE,
      0,
      2 * PAGE + 1,
    ]);
  });

  test('beyond the end is ENXIO, any other whence EINVAL', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    expect([lseek(client, a, 0, 3), lseek(client, a, 2 ** 53, 4), lseek(client, a, 0, 0)]).toEqual([
      -ENXIO,
      -ENXIO,
      -EINVAL,
    ]);
  });
});

describe('COPY_FILE_RANGE', () => {
  const copy = (client: Client, from: OpenedEntry, to: OpenedEntry, values: object, op = 'COPY_FILE_RANGE' as const) =>
    client.send(op, [bytes(CopyFileRangeIn, { fh_in: from.fh, nodeid_out: to.nodeid, fh_out: to.fh, ...values })], {
      nodeid: from.nodeid,
    });

  test('copies inside the host, as far as the source goes', () => {
    const { client, check } = boot();
    const a = ok(client.create(1, 'a'));
    const b = ok(client.create(1, 'b'));
    const data = Uint8Array.from({ length: 150_000 }, (_, i) => i % 253);
    client.write(a.nodeid, a.fh, 0, data);
    const { body } = copy(client, a, b, { off_in: 10, off_out: 3, len: 2 ** 40 });
    expect(decode(WriteOut, body, 0).size).toBe(data.length - 10);
    expect(ok(client.read(b.nodeid, b.fh, 3, data.length))).toEqual(data.subarray(10));
    check();
  });

  test('the 64-bit form says the same', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, 'hello');
    const { body } = copy(client, a, ok(client.create(1, 'b')), { len: 3 }, 'COPY_FILE_RANGE_64' as never);
    expect(decode(CopyFileRangeOut, body, 0).bytes_copied).toBe(3);
  });

  test('to a place behind what a number can say is EFBIG, wherever the file would end', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const b = ok(client.create(1, 'b'));
    client.write(a.nodeid, a.fh, 0, 'hello');
    for (const off_out of [2 ** 53 - 4, 2 ** 53 - 1]) {
      expect(copy(client, a, b, { off_out, len: 4 }).errno).toBe(EFBIG);
    }
  });

  test('overlapping ranges of one file are EINVAL, separate ones are not', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, 'abcdef');
    expect(copy(client, a, a, { off_in: 0, off_out: 2, len: 3 }).errno).toBe(EINVAL);
    expect(copy(client, a, a, { off_in: 0, off_out: 3, len: 3 }).errno).toBe(OK);
    expect(text(client.read(a.nodeid, a.fh, 0, 9))).toBe('abcabc');
  });

  test('inside one file the source ends where it ended before, not where the copy moved the end to', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, 'abcdef');
    const { body } = copy(client, a, a, { off_in: 2, off_out: 100, len: 50 });
    expect(decode(WriteOut, body, 0).size).toBe(4);
    expect(text(client.read(a.nodeid, a.fh, 100, 60))).toBe('cdef');
  });

  test('to an unknown inode is ESTALE, through a wrong handle EBADF, with flags EINVAL', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const b = ok(client.create(1, 'b', O_RDONLY));
    expect(copy(client, a, a, { nodeid_out: 99, len: 1 }).errno).toBe(ESTALE);
    expect(copy(client, a, b, { len: 1 }).errno).toBe(EBADF);
    expect(copy(client, a, ok(client.create(1, 'c')), { len: 1, flags: 1 }).errno).toBe(EINVAL);
  });
});
