import { expect, test } from 'vitest';
import { bytesOfText } from '../../src/base/bytes.ts';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { Attr, AttrChange, Caller, StatFs } from '../../src/host/inode.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { EROFS, OK } from '../../src/wire/errno.ts';
import { O_RDONLY, O_RDWR } from '../../src/wire/mode.ts';
import { boot } from '../host/world.ts';

const NAME = bytesOfText('a');
const caller = new Caller();

function bootReadOnly() {
  const { memory } = boot();
  const made = memory.mknod(memory.root, NAME, 0o100644, 0, caller);
  if (typeof made === 'number') throw new Error('mknod failed');
  return { memory, file: made, fs: new ReadOnlyFileSystem(memory) };
}

test('everything that changes something is EROFS', () => {
  const { fs, file } = bootReadOnly();
  const { root } = fs;
  const list = new SegmentList();
  expect([
    fs.setattr(file, new AttrChange(), caller),
    fs.mknod(root, NAME, 0, 0, caller),
    fs.mkdir(root, NAME, 0, caller),
    fs.symlink(root, NAME, NAME, caller),
    fs.link(file, root, NAME),
    fs.unlink(root, NAME),
    fs.rmdir(root, NAME),
    fs.rename(root, NAME, root, NAME, 0),
    fs.open(file, O_RDWR),
    fs.fallocate(file, 0, 0, 1, caller),
    -fs.write(file, 0, list, false),
  ]).toEqual(new Array(11).fill(EROFS));
});

test('everything that reads is passed on', () => {
  const { fs, file, memory } = bootReadOnly();
  const attr = new Attr();
  expect([fs.root, fs.lookup(fs.root, NAME)]).toEqual([memory.root, file]);
  expect([fs.getattr(file, attr), fs.open(file, O_RDONLY), fs.statfs(new StatFs()), fs.sync()]).toEqual([
    OK,
    OK,
    OK,
    OK,
  ]);
  expect([attr.ino, fs.read(file, 0, 1, new SegmentList())]).toEqual([file.ino, 0]);
});
