import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { mountOver } from '../../src/guest/guest.ts';
import { Mount } from '../../src/guest/mount.ts';
import type { MountOptions } from '../../src/guest/options.ts';
import { EIO, ENOSYS, OK } from '../../src/wire/errno.ts';
import { INIT_FLAG_BITS } from '../../src/wire/flags.ts';
import { InitIn, InitOut } from '../../src/wire/fuse.ts';
import { OPS } from '../../src/wire/ops.ts';
import type { DeepPartial, Values } from '../../src/wire/struct.ts';
import { StubChannel } from '../fakes/stub-channel.ts';
import { StubWindow } from '../fakes/stub-window.ts';
import { boot, codeOf, requestsOf } from './world.ts';

const bit = (flag: keyof typeof INIT_FLAG_BITS) => 2 ** (INIT_FLAG_BITS[flag] % 32);

function init(reply: DeepPartial<Values<typeof InitOut>>, options: Partial<MountOptions> = {}, received?: number) {
  const channel = new StubChannel((_sent, self) => {
    self.answer(InitOut, { major: 7, minor: 45, max_write: 65536, ...reply });
    if (received !== undefined) self.received = received;
    return OK;
  });
  const mount = new Mount(channel, new StubWindow(4), { clock: new ManualClock(), ...options });
  const errno = mount.session.init();
  return { session: mount.session, errno, offered: channel.sent[0]?.args as DataView };
}

test('MAP_ALIGNMENT is offered with a window only, HAS_INODE_DAX in dax=inode mode only', () => {
  const always = init({}).offered;
  const inode = init({}, { dax: 'inode' }).offered;
  const never = init({}, { dax: 'never' }).offered;
  const alignment = (v: DataView) => (InitIn.flags.get(v, 0) & bit('FUSE_MAP_ALIGNMENT')) !== 0;
  expect([always, inode, never].map(alignment)).toEqual([true, true, false]);
  expect([always, inode, never].map((v) => InitIn.flags2.get(v, 0) % 2 ** 30)).toEqual([0, 2, 0]);
});

test('of the private bits each allocation offers its own, and none without a window', () => {
  const offered = (options: Partial<MountOptions>) =>
    Math.floor(InitIn.flags2.get(init({}, options).offered, 0) / 2 ** 30);
  expect(offered({})).toBe(2);
  expect([offered({ allocation: 'server' }), offered({ allocation: 'combined' })]).toEqual([1, 1]);
  expect(offered({ allocation: 'server', dax: 'never' })).toBe(0);
});

test('a map alignment above 2 MiB is refused with a reason; without the flag the field means nothing', () => {
  const refused = init({ flags: bit('FUSE_MAP_ALIGNMENT'), map_alignment: 22 });
  expect(refused.session.state).toBe('refused');
  expect(refused.session.why).toMatch(/2\^22/);
  expect(init({ flags: bit('FUSE_MAP_ALIGNMENT'), map_alignment: 21 }).errno).toBe(OK);
  expect(init({ map_alignment: 30 }).errno).toBe(OK);
});

test('flags2 counts only with INIT_EXT in the reply', () => {
  const without = init({ flags: 0, flags2: 2 }, { dax: 'inode' });
  const withExt = init({ flags: bit('FUSE_INIT_EXT'), flags2: 2 }, { dax: 'inode' });
  expect(without.session.has('FUSE_HAS_INODE_DAX')).toBe(false);
  expect(withExt.session.has('FUSE_HAS_INODE_DAX')).toBe(true);
});

test('a flag that was not offered is not taken', () => {
  expect(init({ flags: bit('FUSE_WRITEBACK_CACHE') }).session.has('FUSE_WRITEBACK_CACHE')).toBe(false);
});

test('max_write has a floor of 4096 and is cut to max_pages', () => {
  expect(init({ max_write: 5 }).session.maxWrite).toBe(4096);
  expect(init({ max_write: 2 ** 20 }).session.maxWrite).toBe(32 * 4096);
  const pages = { flags: bit('FUSE_MAX_PAGES'), max_pages: 256, max_write: 2 ** 20 };
  expect(init(pages).session.maxWrite).toBe(2 ** 20);
  expect(init({ ...pages, max_pages: 0 }).session.maxWrite).toBe(4096);
});

test('a short reply reads as zeros, and an old minor has no max_write', () => {
  const short = init({ flags: bit('FUSE_MAP_ALIGNMENT'), map_alignment: 30, minor: 22 }, {}, 24);
  expect(short.errno).toBe(OK);
  expect(init({ minor: 4 }, {}, 8).session.maxWrite).toBe(4096);
  expect(init({ time_gran: 2_000_000_000 }).session.timeGran).toBe(1);
});

test('another major is refused, and so is an error; mountOver says why', () => {
  expect(init({ major: 8 }).session.why).toMatch(/FUSE 8/);
  const channel = new StubChannel(() => EIO);
  expect(() => mountOver(channel, undefined, { clock: new ManualClock() })).toThrow(
    'ECONNREFUSED: connection refused, mount: INIT was answered with EIO',
  );
});

test.each([
  [{ dax: 'sometimes' }, /"dax" must be/],
  [{ uid: -1 }, /"uid" must be an integer/],
  [{ umask: 0o1000 }, /"umask"/],
  [{ maxInodes: 3 }, /"maxInodes" must be an integer from 16/],
  [{ clock: {} }, /"clock" must be a Clock/],
])('the option %j is refused', (options, message) => {
  const wrong = { clock: new ManualClock(), ...options } as MountOptions;
  expect(() => new Mount(new StubChannel(() => OK), new StubWindow(4), wrong)).toThrow(message);
});

test('DESTROY is sent once, after the lookups were given back', () => {
  const { guest, channel } = boot();
  guest.writeFile('/a', '');
  requestsOf(channel);
  guest.unmount();
  expect(requestsOf(channel)).toEqual(['FORGET', 'DESTROY']);
  expect(channel.isClosed).toBe(true);
});

test.each([
  ['FLUSH', (g: ReturnType<typeof boot>['guest']) => g.writeFile('/a', 'x'), 'OK'],
  ['FSYNC', (g: ReturnType<typeof boot>['guest']) => g.open('/f').sync(), 'OK'],
  ['SYNCFS', (g: ReturnType<typeof boot>['guest']) => g.sync(), 'OK'],
  ['OPEN', (g: ReturnType<typeof boot>['guest']) => g.open('/f').close(), 'OK'],
  ['OPENDIR', (g: ReturnType<typeof boot>['guest']) => g.opendir('/').close(), 'OK'],
  ['FALLOCATE', (g: ReturnType<typeof boot>['guest']) => g.open('/f', 'r+').allocate(0, 9), 'ENOTSUP'],
  ['LSEEK', (g: ReturnType<typeof boot>['guest']) => g.open('/f').seek(0, 'data'), 'OK'],
  ['RENAME2', (g: ReturnType<typeof boot>['guest']) => g.rename('/f', '/n', { noReplace: true }), 'EINVAL'],
] as const)('%s answered with ENOSYS is not sent again', (name, run, code) => {
  const { guest, channel } = boot();
  guest.writeFile('/f', 'content');
  channel.intercept = (request) => (request.opcode === OPS[name].code ? ENOSYS : undefined);
  requestsOf(channel);
  expect(codeOf(() => run(guest))).toBe(code);
  expect(codeOf(() => run(guest))).toBe(code);
  expect(requestsOf(channel).filter((sent) => sent === name).length).toBe(1);
});

test('an error of FLUSH comes out of close, and the file is closed all the same', () => {
  const { guest, channel, session } = boot();
  const file = guest.open('/f', 'w');
  channel.intercept = (request) => (request.opcode === OPS.FLUSH.code ? EIO : undefined);
  expect(codeOf(() => file.close())).toBe('EIO');
  expect(file.isOpen).toBe(false);
  expect(session.handles.size).toBe(0);
});
