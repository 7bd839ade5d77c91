/** Trace lines: each message on one line, whatever is in it. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { writeDirent, writeDirentPlus } from '../../src/wire/dirent.ts';
import { ENOENT, ENOTSUP } from '../../src/wire/errno.ts';
import { FATTR_FLAGS, FOPEN_FLAGS } from '../../src/wire/flags.ts';
import { formatNotify, formatReply, formatRequest } from '../../src/wire/format.ts';
import { InHeader, OutHeader } from '../../src/wire/fuse.ts';
import { OP_BY_CODE } from '../../src/wire/message.ts';
import * as mode from '../../src/wire/mode.ts';
import { NOTIFIES, OPS, type Op } from '../../src/wire/ops.ts';
import { encode } from '../../src/wire/struct.ts';
import { answer, type Build, reply, request } from './build.ts';

const SEED = Number(process.env['SEED'] ?? 1);
const ATTR = {
  ino: 2,
  size: 5,
  blocks: 8,
  atime: 1,
  mtime: 2,
  ctime: 3,
  mtimensec: 500_000_000,
  mode: 0o100644,
  nlink: 1,
};

const rx = (op: Op, build: Build): string => line(request(op, build), formatRequest);
const tx = (op: Op, build: Build): string => line(reply(op, build), (v, at, size) => formatReply(op.code, v, at, size));

function line(message: DataView, format: (view: DataView, at: number, size: number) => string): string {
  return format(message, 0, message.byteLength);
}

describe('requests', () => {
  test('INIT', () => {
    const args = { major: 7, minor: 45, max_readahead: 131072, flags: 0x4400_0001, flags2: 2 };
    expect(rx(OPS.INIT, { args, header: { nodeid: 0 } })).toMatchInlineSnapshot(
      `"rx 5: INIT n0 {7.45 Ra 131072 ASYNC_READ|MAP_ALIGNMENT|INIT_EXT|HAS_INODE_DAX} p9"`,
    );
    expect(rx(OPS.INIT, { args: { major: 7, minor: 31, flags: 0x8000_0000 } })).toMatchInlineSnapshot(
      `"rx 5: INIT n1 {7.31 Ra 0 INIT_RESERVED} p9"`,
    );
  });

  test('LOOKUP, with names that are not plain text', () => {
    expect(rx(OPS.LOOKUP, { names: ['hello.txt'] })).toMatchInlineSnapshot(`"rx 5: LOOKUP n1 "hello.txt" p9"`);
    expect(rx(OPS.LOOKUP, { names: ['a "b"\\\n\x7f grün'] })).toMatchInlineSnapshot(
      `"rx 5: LOOKUP n1 "a \\"b\\"\\\\\\n\\x7f gr\\xc3\\xbcn" p9"`,
    );
  });

  test('GETATTR', () => {
    expect(rx(OPS.GETATTR, { args: {} })).toMatchInlineSnapshot(`"rx 5: GETATTR n1 {fh=0} p9"`);
    expect(rx(OPS.GETATTR, { args: { getattr_flags: 1, fh: 3 } })).toMatchInlineSnapshot(
      `"rx 5: GETATTR n1 {getattr_flags=GETATTR_FH fh=3} p9"`,
    );
  });

  test('SETATTR shows what is set', () => {
    const { FATTR_SIZE, FATTR_FH, FATTR_MTIME, FATTR_MTIME_NOW, FATTR_MODE } = FATTR_FLAGS;
    const valid = FATTR_SIZE | FATTR_FH | FATTR_MTIME | FATTR_MTIME_NOW | FATTR_MODE;
    expect(rx(OPS.SETATTR, { args: { valid, size: 10, fh: 3, mode: 0o644, uid: 7 } })).toMatchInlineSnapshot(
      `"rx 5: SETATTR n1 {mode=0644 size=10 mtime=now fh=3} p9"`,
    );
  });

  test('OPEN and CREATE show open flags by name', () => {
    const flags = mode.O_RDWR | mode.O_CREAT | mode.O_EXCL | mode.O_LARGEFILE | 0x4000_0000;
    expect(rx(OPS.OPEN, { args: { flags: mode.O_WRONLY | mode.O_SYNC, open_flags: 1 } })).toMatchInlineSnapshot(
      `"rx 5: OPEN n1 {flags=O_WRONLY|O_DSYNC|O_SYNC open_flags=OPEN_KILL_SUIDGID} p9"`,
    );
    expect(rx(OPS.CREATE, { args: { flags, mode: 0o100644, umask: 0o22 }, names: ['new'] })).toMatchInlineSnapshot(
      `"rx 5: CREATE n1 {flags=O_RDWR|O_CREAT|O_EXCL|O_LARGEFILE|0x40000000 mode=0100644 umask=022} "new" p9"`,
    );
  });

  test('READ and WRITE show ranges, and short data', () => {
    expect(rx(OPS.READ, { args: { fh: 3, offset: 8192, size: 4096, flags: mode.O_RDWR } })).toMatchInlineSnapshot(
      `"rx 5: READ n1 {fh=3 [8192 +4096) flags=O_RDWR} p9"`,
    );
    expect(rx(OPS.WRITE, { args: { fh: 3, size: 6, write_flags: 5 }, data: 'hello\n' })).toMatchInlineSnapshot(
      `"rx 5: WRITE n1 {fh=3 [0 +6) write_flags=WRITE_CACHE|WRITE_KILL_SUIDGID} 6b "hello\\n" p9"`,
    );
    expect(rx(OPS.WRITE, { args: { fh: 3, size: 33 }, data: 'x'.repeat(33) })).toMatchInlineSnapshot(
      `"rx 5: WRITE n1 {fh=3 [0 +33)} 33b p9"`,
    );
  });

  test('WRITE with data that is elsewhere', () => {
    const head = request(OPS.WRITE, { args: { fh: 3, size: 4096 } });
    InHeader.len.set(head, 0, 80 + 4096);
    expect(formatRequest(head, 0, 80 + 4096)).toMatchInlineSnapshot(`"rx 5: WRITE n1 {fh=3 [0 +4096)} 4096b p9"`);
  });

  test('SETUPMAPPING and REMOVEMAPPING', () => {
    const args = { fh: 2n ** 64n - 1n, foffset: 2 ** 21, len: 2 ** 21, flags: 3, moffset: 2 ** 22 };
    expect(rx(OPS.SETUPMAPPING, { args })).toMatchInlineSnapshot(
      `"rx 5: SETUPMAPPING n1 {fh=-1 [2097152 +2097152) flags=WRITE|READ moffset=4194304} p9"`,
    );
    const many = [
      { moffset: 0, len: 2 ** 21 },
      { moffset: 2 ** 22, len: 2 ** 21 },
    ];
    expect(rx(OPS.REMOVEMAPPING, { args: { count: 2 }, many })).toMatchInlineSnapshot(
      `"rx 5: REMOVEMAPPING n1 {count=2} [{[0 +2097152)} {[4194304 +2097152)}] p9"`,
    );
  });

  test('RENAME2, SYMLINK, MKDIR with extensions', () => {
    expect(rx(OPS.RENAME2, { args: { newdir: 4, flags: 2 }, names: ['a', 'b'] })).toMatchInlineSnapshot(
      `"rx 5: RENAME2 n1 {newdir=4 flags=RENAME_EXCHANGE} "a" "b" p9"`,
    );
    expect(rx(OPS.SYMLINK, { names: ['link', '../target'] })).toMatchInlineSnapshot(
      `"rx 5: SYMLINK n1 "link" "../target" p9"`,
    );
    expect(rx(OPS.MKDIR, { args: { mode: 0o755, umask: 0o22 }, names: ['d'], extensions: 2 })).toMatchInlineSnapshot(
      `"rx 5: MKDIR n1 {mode=0755 umask=022} "d" ext 16b p9"`,
    );
  });

  test('FORGET, BATCH_FORGET, SETLK, FALLOCATE, LSEEK', () => {
    expect(rx(OPS.FORGET, { args: { nlookup: 3 } })).toMatchInlineSnapshot(`"rx 5: FORGET n1 {nlookup=3} p9"`);
    const many = [
      { nodeid: 2, nlookup: 1 },
      { nodeid: 3, nlookup: 4 },
    ];
    expect(rx(OPS.BATCH_FORGET, { args: { count: 2 }, many })).toMatchInlineSnapshot(
      `"rx 5: BATCH_FORGET n1 {count=2} [{nodeid=2 nlookup=1} {nodeid=3 nlookup=4}] p9"`,
    );
    const lk = { start: 0, end: 99, type: mode.F_WRLCK, pid: 9 };
    expect(rx(OPS.SETLK, { args: { fh: 1, owner: 77n, lk, lk_flags: 1 } })).toMatchInlineSnapshot(
      `"rx 5: SETLK n1 {fh=1 owner=77 start=0 end=99 type=1 pid=9 lk_flags=LK_FLOCK} p9"`,
    );
    const punch = mode.FALLOC_FL_PUNCH_HOLE | mode.FALLOC_FL_KEEP_SIZE;
    expect(rx(OPS.FALLOCATE, { args: { fh: 1, offset: 4096, length: 8192, mode: punch } })).toMatchInlineSnapshot(
      `"rx 5: FALLOCATE n1 {fh=1 [4096 +8192) mode=FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE} p9"`,
    );
    expect(rx(OPS.LSEEK, { args: { fh: 1, offset: 5, whence: mode.SEEK_DATA } })).toMatchInlineSnapshot(
      `"rx 5: LSEEK n1 {fh=1 offset=5 whence=3} p9"`,
    );
  });

  test('an operation that nobody knows', () => {
    const message = request(OPS.STATFS, {});
    InHeader.opcode.set(message, 0, 99);
    expect(line(message, formatRequest)).toMatchInlineSnapshot(`"rx 5: OP99 n1 0b p9"`);
  });

  test('malformed ones say so', () => {
    const lookup = request(OPS.LOOKUP, { names: ['hello'] });
    expect(formatRequest(lookup, 0, 45)).toMatchInlineSnapshot(`"rx 5: LOOKUP n1 malformed p9"`);
    InHeader.len.set(lookup, 0, 45);
    expect(formatRequest(lookup, 0, 45)).toMatchInlineSnapshot(`"rx 5: LOOKUP n1 malformed p9"`);
    expect(formatRequest(lookup, 0, 12)).toMatchInlineSnapshot(`"rx malformed: 12 bytes"`);
    expect(rx(OPS.STATFS, { header: { nodeid: 1, unique: 2n ** 63n } })).toMatchInlineSnapshot(
      `"rx 9223372036854775808: STATFS n1 p9"`,
    );
  });
});

describe('replies', () => {
  test('OK alone, and errors', () => {
    expect(tx(OPS.UNLINK, {})).toMatchInlineSnapshot(`"tx 5: OK"`);
    expect(line(answer([], {}, -ENOENT), (v, at, n) => formatReply(1, v, at, n))).toMatchInlineSnapshot(
      `"tx 5: 2=no such file or directory"`,
    );
    expect(line(answer([], {}, -ENOTSUP), (v, at, n) => formatReply(22, v, at, n))).toMatchInlineSnapshot(
      `"tx 5: 95=operation not supported on socket"`,
    );
    expect(line(answer([], {}, -999), (v, at, n) => formatReply(1, v, at, n))).toMatchInlineSnapshot(
      `"tx 5: 999=unknown error"`,
    );
  });

  test('INIT', () => {
    const args = { major: 7, minor: 45, flags: 0x0440_0000, max_background: 64, congestion_threshold: 48 };
    const sizes = { max_write: 1 << 20, time_gran: 1, max_pages: 256, map_alignment: 21 };
    expect(tx(OPS.INIT, { args: { ...args, ...sizes } })).toMatchInlineSnapshot(
      `"tx 5: OK, {7.45 Ra 0 MAX_PAGES|MAP_ALIGNMENT 48/64 Wr 1048576 Tg 1 MaxPages 256 MapAlign 21}"`,
    );
  });

  test('LOOKUP, GETATTR, CREATE', () => {
    const entry = { nodeid: 2, generation: 1, entry_valid: 1, attr_valid: 0, attr_valid_nsec: 5e8, attr: ATTR };
    expect(tx(OPS.LOOKUP, { args: entry })).toMatchInlineSnapshot(
      `"tx 5: OK, {n2 g1 tE=1s tA=0.5s {i2 M0100644 SZ=5 L=1 0:0 B8 A 1 M 2.5 C 3}}"`,
    );
    expect(tx(OPS.GETATTR, { args: { attr_valid: 1, attr: { ...ATTR, flags: 2 } } })).toMatchInlineSnapshot(
      `"tx 5: OK, {tA=1s {i2 M0100644 SZ=5 L=1 0:0 B8 A 1 M 2.5 C 3 ATTR_DAX}}"`,
    );
    const open = { fh: 3, open_flags: FOPEN_FLAGS.FOPEN_KEEP_CACHE };
    expect(tx(OPS.CREATE, { args: entry, more: open })).toMatchInlineSnapshot(
      `"tx 5: OK, {n2 g1 tE=1s tA=0.5s {i2 M0100644 SZ=5 L=1 0:0 B8 A 1 M 2.5 C 3}} {fh=3 open_flags=FOPEN_KEEP_CACHE}"`,
    );
  });

  test('READ, READLINK, WRITE, STATFS', () => {
    expect(tx(OPS.READ, { data: 'hello\n' })).toMatchInlineSnapshot(`"tx 5: OK, 6b "hello\\n""`);
    expect(tx(OPS.READLINK, { data: 'a/b' })).toMatchInlineSnapshot(`"tx 5: OK, 3b "a/b""`);
    expect(tx(OPS.WRITE, { args: { size: 4096 } })).toMatchInlineSnapshot(`"tx 5: OK, {size=4096}"`);
    const st = { blocks: 100, bfree: 50, bavail: 40, files: 10, ffree: 5, bsize: 4096, namelen: 255, frsize: 4096 };
    expect(tx(OPS.STATFS, { args: { st } })).toMatchInlineSnapshot(
      `"tx 5: OK, {blocks=100 bfree=50 bavail=40 files=10 ffree=5 bsize=4096 namelen=255 frsize=4096}"`,
    );
  });

  test('GETXATTR brings a size or a value', () => {
    const size = '\x05\0\0\0\0\0\0\0';
    expect(tx(OPS.GETXATTR, { data: size })).toMatchInlineSnapshot(`"tx 5: OK, {size=5}"`);
    expect(tx(OPS.GETXATTR, { data: 'a value!' })).toMatchInlineSnapshot(`"tx 5: OK, 8b "a value!""`);
  });

  test('READDIR and READDIRPLUS', () => {
    expect(dirents(OPS.READDIR, writeDirent)).toMatchInlineSnapshot(`"tx 5: OK, [i1 ".", i7 "hello.txt"]"`);
    expect(dirents(OPS.READDIRPLUS, writeDirentPlus)).toMatchInlineSnapshot(
      `"tx 5: OK, [n0 i1 ".", n0 i7 "hello.txt"]"`,
    );
  });

  test('malformed ones say so', () => {
    const whole = reply(OPS.LOOKUP, {});
    OutHeader.len.set(whole, 0, 100);
    expect(formatReply(1, whole, 0, 100)).toMatchInlineSnapshot(`"tx 5: malformed"`);
    expect(formatReply(1, whole, 0, 10)).toMatchInlineSnapshot(`"tx malformed: 10 bytes"`);
  });
});

test('notifications', () => {
  const note = (name: keyof typeof NOTIFIES, build: Build): string => {
    const { parts, code } = NOTIFIES[name];
    return line(answer(parts, { ...build, header: { unique: 0n } }, code), formatNotify);
  };
  expect(note('INVAL_INODE', { args: { ino: 2, off: 0, len: -1 } })).toMatchInlineSnapshot(
    `"tx 0: NOTIFY_INVAL_INODE {ino=2 [0 +-1)}"`,
  );
  expect(note('INVAL_ENTRY', { args: { parent: 1, namelen: 4, flags: 1 }, names: ['gone'] })).toMatchInlineSnapshot(
    `"tx 0: NOTIFY_INVAL_ENTRY {parent=1 namelen=4 flags=EXPIRE_ONLY} "gone""`,
  );
  expect(note('STORE', { args: { nodeid: 2, offset: 0, size: 5 }, data: 'hello' })).toMatchInlineSnapshot(
    `"tx 0: NOTIFY_STORE {nodeid=2 [0 +5)} 5b "hello""`,
  );
  expect(note('RESEND', {})).toMatchInlineSnapshot(`"tx 0: NOTIFY_RESEND"`);
});

test(`formatting never throws, whatever the bytes [SEED=${SEED} npx vitest run test/wire/format.test.ts]`, () => {
  const prng = new Prng(SEED);
  for (let i = 0; i < 20_000; i++) {
    const size = prng.below(300);
    const view = new DataView(
      Uint8Array.from({ length: size }, () => prng.pick([0, 0, 0, 1, 0xff, 0x2f, prng.below(256)])).buffer,
    );
    const at = prng.below(3);
    const claimed = prng.chance(0.9) ? size - at : prng.below(5000);
    const code = prng.below(OP_BY_CODE.length + 1);
    if (size >= 48) encode(InHeader, view, at, { len: claimed, opcode: code, total_extlen: prng.pick([0, 0, 1, 9]) });
    expect(typeof formatRequest(view, at, claimed)).toBe('string');
    if (size >= 48) encode(OutHeader, view, at, { len: claimed, error: 0 });
    expect(typeof formatReply(code, view, at, claimed)).toBe('string');
    if (size >= 48) OutHeader.error.set(view, at, prng.below(12));
    expect(typeof formatNotify(view, at, claimed)).toBe('string');
  }
});

function dirents(op: Op, put: typeof writeDirent): string {
  const view = new DataView(new ArrayBuffer(1024));
  let end = 16;
  for (const [ino, name] of [
    [1, '.'],
    [7, 'hello.txt'],
  ] as const) {
    end += put(view, end, 1024, ino, end, mode.DT_REG, name as never);
  }
  encode(OutHeader, view, 0, { len: end, unique: 5n });
  return formatReply(op.code, view, 0, end);
}
