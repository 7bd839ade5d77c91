import { describe, expect, test } from 'vitest';
import type { Mapper } from '../../src/host/mapper-types.ts';
import { EIO, EPROTO, ESTALE, OK } from '../../src/wire/errno.ts';
import { INIT_FLAG_BITS } from '../../src/wire/flags.ts';
import { InitIn, InitOut } from '../../src/wire/fuse.ts';
import { sizeOf } from '../../src/wire/struct.ts';
import { bytes, type Client, ok } from './client.ts';
import { boot } from './world.ts';

const bit = (flag: keyof typeof INIT_FLAG_BITS): number => 2 ** (INIT_FLAG_BITS[flag] % 32);
const EXT = bit('FUSE_INIT_EXT');

const window: Mapper = {
  windowSize: 8 << 20,
  setup: () => OK,
  remove: () => OK,
  takeUsed: () => false,
  clear: () => {},
};

function sendInit(client: Client, values: { major?: number; minor?: number; flags?: number; flags2?: number }) {
  return client.send('INIT', [bytes(InitIn, { major: 7, minor: 45, max_readahead: 4096, ...values })], { nodeid: 0 });
}

describe('which protocol versions are accepted', () => {
  test.each([
    [6, 99, EPROTO],
    [7, 0, EPROTO],
    [7, 26, EPROTO],
    [7, 27, OK],
    [7, 45, OK],
    [7, 999, OK],
    [8, 0, OK],
  ])('a client that speaks %i.%i gets errno %i', (major, minor, errno) => {
    expect(sendInit(boot().attach(), { major, minor }).errno).toBe(errno);
  });

  test('the reply always says 7.45 and has its newest form', () => {
    const { body } = sendInit(boot().attach(), { minor: 27 });
    expect([body.byteLength, InitOut.major.get(body, 0), InitOut.minor.get(body, 0)]).toEqual([64, 7, 45]);
  });

  test('a newer major is answered with ours alone, and the session waits for a second INIT', () => {
    const client = boot().attach();
    const { body } = sendInit(client, { major: 8, minor: 3, flags: 0xffffffff });
    expect([InitOut.major.get(body, 0), InitOut.minor.get(body, 0), InitOut.flags.get(body, 0)]).toEqual([7, 45, 0]);
    expect(client.getattr(1)).toBe(EIO);
    expect(sendInit(client, {}).errno).toBe(OK);
    expect(ok(client.getattr(1)).ino).toBe(1);
  });

  test('an init_in of 16 bytes, as sent before 7.36, is accepted', () => {
    const short = bytes(InitIn, { major: 7, minor: 31, max_readahead: 4096, flags: 0 }).subarray(0, 16);
    expect(boot().attach().send('INIT', [short]).errno).toBe(OK);
  });
});

describe('flags', () => {
  test('nothing is agreed on that was not offered', () => {
    const out = boot().attach({ window }).init({ flags: 0, flags2: 0 });
    expect([out.flags, out.flags2, out.map_alignment, out.max_pages]).toEqual([0, 0, 0, 0]);
  });

  test('flags2 counts only with INIT_EXT', () => {
    const client = boot().attach({ window });
    expect(client.init({ flags: 0xffffffff - EXT, flags2: 0xffffffff }).flags2).toBe(0);
    expect(client.init({ flags: EXT, flags2: 0xffffffff }).flags2).toBe(
      bit('FUSE_HAS_INODE_DAX') | bit('FUSE_CREATE_SUPP_GROUP'),
    );
  });

  test('INIT_EXT is in the reply iff it was offered', () => {
    const client = boot().attach();
    expect(client.init({ flags: EXT }).flags & EXT).toBe(EXT);
    expect(client.init({ flags: 0x3fffffff }).flags & EXT).toBe(0);
  });

  test('without a window there is no DAX to agree on', () => {
    const out = boot().attach({ window: undefined }).init();
    expect(out.flags & bit('FUSE_MAP_ALIGNMENT')).toBe(0);
    expect([out.flags2, out.map_alignment]).toEqual([bit('FUSE_CREATE_SUPP_GROUP'), 0]);
  });

  test('with a window mappings are aligned to 2 MiB', () => {
    const out = boot().attach({ window }).init();
    expect(out.flags & bit('FUSE_MAP_ALIGNMENT')).toBe(bit('FUSE_MAP_ALIGNMENT'));
    expect(out.map_alignment).toBe(21);
  });

  test.each(['FUSE_POSIX_LOCKS', 'FUSE_FLOCK_LOCKS'] as const)(
    '%s is agreed on only where an answer may come later',
    (flag) => {
      expect(boot().attach().init().flags & bit(flag)).toBe(bit(flag));
      expect(boot().attach({}, false).init().flags & bit(flag)).toBe(0);
    },
  );

  test.each(['FUSE_WRITEBACK_CACHE', 'FUSE_SPLICE_READ'] as const)('%s is not agreed on: we do not do it', (flag) => {
    expect(boot().attach().init().flags & bit(flag)).toBe(0);
  });
});

describe('limits', () => {
  test('max_write and max_pages say the same', () => {
    const out = boot()
      .attach({ maxWrite: 256 * 1024 })
      .init();
    expect([out.max_write, out.max_pages, out.time_gran]).toEqual([256 * 1024, 64, 1]);
  });

  test('without MAX_PAGES a request carries at most 32 pages', () => {
    expect(boot().attach().init({ flags: 0 }).max_write).toBe(128 * 1024);
  });

  test('read-ahead is the client’s, and the congestion threshold three quarters of the background limit', () => {
    const out = boot().attach({ maxBackground: 16 }).init({ max_readahead: 12345 });
    expect([out.max_readahead, out.max_background, out.congestion_threshold]).toEqual([12345, 16, 12]);
  });
});

describe('the life of a session', () => {
  test('before INIT everything is EIO and FORGET is silently ignored', () => {
    const client = boot().attach();
    expect(client.getattr(1)).toBe(EIO);
    expect(client.send('FORGET', [new Uint8Array(8)]).isAnswered).toBe(false);
  });

  test('a second INIT drops lookups, handles and mappings', () => {
    let cleared = 0;
    const world = boot();
    const client = world.attach({ window: { ...window, clear: () => cleared++ } });
    client.init();
    const file = ok(client.create(1, 'a'));
    cleared = 0;
    client.init();
    expect(cleared).toBe(1);
    expect(client.getattr(file.nodeid)).toBe(ESTALE);
    expect([client.session.handles.size, client.session.lookups.size, world.server.store.count]).toEqual([0, 0, 1]);
    world.check();
  });

  test('after DESTROY everything is EIO until the next INIT', () => {
    const { client, server, check } = boot();
    ok(client.create(1, 'a'));
    expect(client.send('DESTROY', []).errno).toBe(OK);
    expect([client.session.state, server.store.count]).toEqual(['destroyed', 1]);
    expect(client.getattr(1)).toBe(EIO);
    client.init();
    expect(ok(client.lookup(1, 'a')).attr.nlink).toBe(1);
    check();
  });

  test('a client that is gone leaves nothing and gets EIO even for INIT', () => {
    const { client, server, check } = boot();
    ok(client.create(1, 'a'));
    client.session.close();
    expect([server.store.count, server.sessions.size]).toEqual([1, 0]);
    expect(sendInit(client, {}).errno).toBe(EIO);
    check();
  });

  test('what one session drops, another keeps', () => {
    const { client, attach, check } = boot();
    const other = attach();
    other.init();
    const file = ok(client.create(1, 'a'));
    ok(other.lookup(1, 'a'));
    client.session.close();
    expect(ok(other.getattr(file.nodeid)).nlink).toBe(1);
    check();
  });
});

test('the reply has the size of fuse_init_out', () => {
  expect(sizeOf(InitOut)).toBe(64);
});
