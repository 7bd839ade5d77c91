/** Message sizes by what INIT agreed on, and the check that lets handlers read without looking at lengths. */
import { describe, expect, test } from 'vitest';
import { bytesOfText } from '../../src/base/bytes.ts';
import { EINVAL, ENAMETOOLONG, OK } from '../../src/wire/errno.ts';
import { INIT_FLAG_BITS } from '../../src/wire/flags.ts';
import * as fuse from '../../src/wire/fuse.ts';
import {
  checkName,
  checkRequest,
  DEFAULT_SIZES,
  extensionsSize,
  MessageSizes,
  minRequestSize,
  nameAt,
  nameLength,
  OP_BY_CODE,
  OP_NAME_BY_CODE,
  replyStructSize,
  requestStructSize,
  tailAt,
} from '../../src/wire/message.ts';
import { OPS, type Op } from '../../src/wire/ops.ts';
import { sizeOf } from '../../src/wire/struct.ts';
import { type Build, request } from './build.ts';

const check = (op: Op, message: DataView, sizes?: MessageSizes): string | undefined =>
  checkRequest(op, { request: message, requestSize: message.byteLength, messageSize: message.byteLength }, sizes);

const all = OP_BY_CODE.flatMap((op, code) => (op === undefined ? [] : [[OP_NAME_BY_CODE[code], op] as const]));

/** What a sensible request of each operation needs besides its names. */
function build(op: Op): Build {
  if (op === OPS.WRITE) return { args: { size: 5 }, data: 'hello' };
  if (op === OPS.SETXATTR) return { args: { size: 5 }, data: 'hello' };
  if (op === OPS.IOCTL) return { args: { in_size: 5 }, data: 'hello' };
  if (op === OPS.NOTIFY_REPLY) return { args: { size: 5 }, data: 'hello' };
  if (op === OPS.REMOVEMAPPING) return { args: { count: 2 }, many: [{ moffset: 1 }, { moffset: 2 }] };
  if (op === OPS.BATCH_FORGET) return { args: { count: 2 }, many: [{ nodeid: 1 }, { nodeid: 2 }] };
  return op.request.some((p) => p.part === 'extensions') ? { extensions: 3 } : {};
}

describe('sizes', () => {
  test('GETATTR, MKNOD, CREATE, WRITE and the replies shrink with the minor', () => {
    const ops = [OPS.GETATTR, OPS.MKNOD, OPS.CREATE, OPS.WRITE, OPS.LOOKUP, OPS.STATFS, OPS.INIT];
    const table = [45, 22, 11, 8, 4, 3].map((minor) => {
      const sizes = new MessageSizes(minor, false);
      return [minor, ...ops.map((op) => `${requestStructSize(op, sizes)}/${replyStructSize(op, sizes)}`)].join(' ');
    });
    expect(table).toEqual([
      '45 16/104 16/128 16/144 40/8 0/128 0/80 16/64',
      '22 16/104 16/128 16/144 40/8 0/128 0/80 16/24',
      '11 16/104 8/128 8/144 40/8 0/128 0/80 16/24',
      '8 0/96 8/120 8/136 24/8 0/120 0/80 16/24',
      '4 0/96 8/120 8/136 24/8 0/120 0/80 16/8',
      '3 0/96 8/120 8/136 24/8 0/120 0/48 16/8',
    ]);
  });

  test('SETXATTR is long only with SETXATTR_EXT', () => {
    expect(minRequestSize(OPS.SETXATTR)).toBe(40 + 8 + 1);
    expect(minRequestSize(OPS.SETXATTR, new MessageSizes(45, true))).toBe(40 + 16 + 1);
  });

  test('the smallest request counts a NUL for each name', () => {
    expect(minRequestSize(OPS.LOOKUP)).toBe(41);
    expect(minRequestSize(OPS.RENAME2)).toBe(40 + 16 + 2);
    expect(minRequestSize(OPS.STATFS)).toBe(40);
  });
});

describe('checkRequest', () => {
  test.each(all)('accepts a whole %s and refuses it cut at every length', (_, op) => {
    const whole = request(op, { ...build(op), names: ['one', 'two'] });
    expect(check(op, whole)).toBeUndefined();
    for (let size = 0; size < whole.byteLength; size++) {
      const cut = new DataView(whole.buffer.slice(0, size));
      expect(check(op, cut), `header.len says ${whole.byteLength}, there are ${size}`).toBeTypeOf('string');
      if (size < 40) continue;
      fuse.InHeader.len.set(cut, 0, size);
      const isInit = op === OPS.INIT && size >= 40 + 16;
      if (isInit) expect(check(op, cut)).toBeUndefined();
      else expect(check(op, cut), `cut to ${size}`).toBeTypeOf('string');
    }
  });

  test.each(all)('never throws at random bytes as %s', (_, op) => {
    for (let i = 0; i < 200; i++) {
      const bytes = Uint8Array.from({ length: 40 + (i % 60) }, (_, at) => (i * 31 + at * at * 17) & 0xff);
      const view = new DataView(bytes.buffer);
      fuse.InHeader.len.set(view, 0, bytes.length);
      expect(['string', 'undefined']).toContain(typeof check(op, view));
    }
  });

  test('refuses CUSE_INIT', () => {
    expect(check(OPS.CUSE_INIT, request(OPS.CUSE_INIT, {}))).toBe('not an operation of virtio-fs');
  });

  test('accepts data that stayed where the peer put it, but counts it', () => {
    const head = new DataView(request(OPS.WRITE, { args: { size: 4096 } }).buffer);
    fuse.InHeader.len.set(head, 0, 80 + 4096);
    expect(checkRequest(OPS.WRITE, { request: head, requestSize: 80, messageSize: 80 + 4096 })).toBeUndefined();
    fuse.InHeader.len.set(head, 0, 80 + 4095);
    expect(checkRequest(OPS.WRITE, { request: head, requestSize: 80, messageSize: 80 + 4095 })).toBe(
      'fewer bytes than announced',
    );
  });

  test('refuses names and repeated structs that are not in the copy', () => {
    const lookup = request(OPS.LOOKUP, { names: ['hello'] });
    const message = { request: lookup, requestSize: 43, messageSize: lookup.byteLength };
    expect(checkRequest(OPS.LOOKUP, message)).toBe('a name without its NUL');
    const forget = request(OPS.BATCH_FORGET, build(OPS.BATCH_FORGET));
    const short = { request: forget, requestSize: 48, messageSize: forget.byteLength };
    expect(checkRequest(OPS.BATCH_FORGET, short)).toBe('elements outside the copy');
  });

  test.each([
    ['REMOVEMAPPING', OPS.REMOVEMAPPING],
    ['BATCH_FORGET', OPS.BATCH_FORGET],
  ] as const)('refuses a %s whose count is not what is there', (_, op) => {
    for (const count of [0, 1, 3, 2 ** 28, 2 ** 32 - 1]) {
      const message = request(op, { ...build(op), args: { count } });
      expect(check(op, message), `count ${count}`).toBe('not as many elements as announced');
    }
  });

  test('refuses extensions larger than the message, and names that run into them', () => {
    const message = request(OPS.MKDIR, { names: ['d'], extensions: 1 });
    expect(check(OPS.MKDIR, message)).toBeUndefined();
    fuse.InHeader.total_extlen.set(message, 0, 2);
    expect(check(OPS.MKDIR, message)).toBe('shorter than its structs');
    fuse.InHeader.total_extlen.set(message, 0, 0xffff);
    expect(check(OPS.MKDIR, message)).toBe('shorter than its structs');
    const symlink = request(OPS.SYMLINK, { names: ['a', 'b'] });
    fuse.InHeader.total_extlen.set(symlink, 0, 0);
    symlink.setUint8(symlink.byteLength - 1, 0x62);
    expect(check(OPS.SYMLINK, symlink)).toBe('a name without its NUL');
  });

  test('takes the long fuse_init_in exactly with FUSE_INIT_EXT', () => {
    const init = request(OPS.INIT, { args: { major: 7, minor: 45, flags: 2 ** INIT_FLAG_BITS.FUSE_INIT_EXT } });
    expect(check(OPS.INIT, init)).toBeUndefined();
    const short = new DataView(init.buffer.slice(0, 56));
    fuse.InHeader.len.set(short, 0, 56);
    expect(check(OPS.INIT, short)).toBe('FUSE_INIT_EXT with a short fuse_init_in');
    fuse.InitIn.flags.set(short, 40, 0);
    expect(check(OPS.INIT, short)).toBeUndefined();
  });

  test('takes an old client’s short structs when that was agreed on', () => {
    const old = new MessageSizes(8, false);
    const message = new DataView(new ArrayBuffer(40));
    fuse.InHeader.len.set(message, 0, 40);
    expect(check(OPS.GETATTR, message, old)).toBeUndefined();
    expect(check(OPS.GETATTR, message)).toBe('shorter than its structs');
  });
});

describe('positions', () => {
  test('nameAt finds each name', () => {
    const message = request(OPS.RENAME2, { names: ['old', 'newer'] });
    const at = [0, 1].map((i) => nameAt(OPS.RENAME2, message, i));
    expect(at).toEqual([56, 60]);
    expect(at.map((a) => nameLength(message, a))).toEqual([3, 5]);
  });

  test('tailAt finds the data of WRITE and the value of SETXATTR', () => {
    expect(tailAt(OPS.WRITE, request(OPS.WRITE, build(OPS.WRITE)))).toBe(80);
    const short = request(OPS.SETXATTR, { ...build(OPS.SETXATTR), names: ['user.a'] });
    expect(tailAt(OPS.SETXATTR, short)).toBe(40 + 8 + 7);
    const sizes = new MessageSizes(45, true);
    const long = request(OPS.SETXATTR, { ...build(OPS.SETXATTR), names: ['user.a'] }, sizes);
    expect(tailAt(OPS.SETXATTR, long, sizes)).toBe(40 + 16 + 7);
  });

  test('tailAt finds the elements of REMOVEMAPPING at byte 44', () => {
    const message = request(OPS.REMOVEMAPPING, build(OPS.REMOVEMAPPING));
    const at = tailAt(OPS.REMOVEMAPPING, message);
    expect(at).toBe(44);
    expect(fuse.RemovemappingOne.moffset.get(message, at + sizeOf(fuse.RemovemappingOne))).toBe(2);
  });

  test('extensions are counted in words of 8 bytes', () => {
    expect(extensionsSize(request(OPS.MKDIR, { names: ['d'], extensions: 3 }))).toBe(24);
    expect(DEFAULT_SIZES.hasSetxattrExt).toBe(false);
  });
});

describe('checkName', () => {
  test.each(['a', '...', '.hidden', 'a'.repeat(255), 'grün'])('accepts %j', (name) => {
    expect(checkName(bytesOfText(name))).toBe(OK);
  });

  test.each(['', '.', '..', '/', 'a/b', 'a/', 'a\0b'])('refuses %j with EINVAL', (name) => {
    expect(checkName(bytesOfText(name))).toBe(EINVAL);
  });

  test('counts bytes, not characters', () => {
    expect(checkName(bytesOfText('a'.repeat(256)))).toBe(ENAMETOOLONG);
    expect(checkName(bytesOfText('ü'.repeat(128)))).toBe(ENAMETOOLONG);
    expect(checkName(bytesOfText('ü'.repeat(127)))).toBe(OK);
  });
});
