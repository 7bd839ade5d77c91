/** What the world around a mount may do to it: take away what it serves, fill it, open all there is. */
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOf, type Mounted, mounted, skipReason, titled, umount } from './mounted.ts';

const CODES = ['ENOENT', 'ESTALE'];
const FRESH = 'allow_other,attr_timeout=0,entry_timeout=0';

/** Every kind of call on a mount whose directory is gone, or no more where it was; the code of each. */
function calls(mount: Mounted, fd: number): Record<string, string> {
  const at = (name: string) => mount.path(name);
  return {
    stat: codeOf(() => fs.statSync(at('file'))),
    read: codeOf(() => fs.readFileSync(at('file'))),
    write: codeOf(() => fs.writeFileSync(at('new'), 'x')),
    list: codeOf(() => fs.readdirSync(at('sub'))),
    deep: codeOf(() => fs.readFileSync(at('sub/file'))),
    mkdir: codeOf(() => fs.mkdirSync(at('made'))),
    symlink: codeOf(() => fs.symlinkSync('x', at('link'))),
    rename: codeOf(() => fs.renameSync(at('file'), at('other'))),
    link: codeOf(() => fs.linkSync(at('other'), at('second'))),
    chmod: codeOf(() => fs.chmodSync(at('other'), 0o600)),
    utimes: codeOf(() => fs.utimesSync(at('other'), 1, 1)),
    truncate: codeOf(() => fs.truncateSync(at('other'), 1)),
    unlink: codeOf(() => fs.unlinkSync(at('other'))),
    rmdir: codeOf(() => fs.rmdirSync(at('sub/inner'))),
    root: codeOf(() => fs.readdirSync(mount.dir)),
    statfs: codeOf(() => fs.statfsSync(mount.dir)),
    open: codeOf(() => fs.readSync(fd, Buffer.alloc(4), 0, 4, 0)),
    sync: codeOf(() => fs.fsyncSync(fd)),
  };
}

async function served(): Promise<{ mount: Mounted; fd: number }> {
  const mount = await mounted('dir', FRESH);
  mount.sh('echo content > file; mkdir -p sub/inner; echo deep > sub/file');
  return { mount, fd: fs.openSync(mount.path('file'), 'r+') };
}

async function ended(mount: Mounted, fd: number): Promise<void> {
  fs.closeSync(fd);
  expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
}

describe.skipIf(skipReason !== undefined)(titled('a directory that vanishes while it is mounted'), () => {
  test('removed: nothing is there any more, what is open still is, and the unmount is clean', async () => {
    const { mount, fd } = await served();
    try {
      fs.rmSync(mount.backing, { recursive: true });
      const { root, statfs, open, sync, ...others } = calls(mount, fd);
      for (const [call, code] of Object.entries(others)) expect([call, ...CODES]).toContain(code);
      expect(['OK', ...CODES]).toContain(root);
      expect([statfs, open, sync]).toEqual(['OK', 'OK', 'OK']);
      fs.mkdirSync(mount.backing);
      fs.writeFileSync(join(mount.backing, 'file'), 'another directory of that name');
      expect(CODES).toContain(codeOf(() => fs.readFileSync(mount.path('file'))));
    } finally {
      await ended(mount, fd);
    }
  });

  test('renamed: it is served wherever it is', async () => {
    const { mount, fd } = await served();
    const elsewhere = `${mount.backing}-elsewhere`;
    try {
      fs.renameSync(mount.backing, elsewhere);
      expect(new Set(Object.values(calls(mount, fd)))).toEqual(new Set(['OK']));
      expect(fs.readFileSync(join(elsewhere, 'new'), 'utf8')).toBe('x');
    } finally {
      fs.renameSync(elsewhere, mount.backing);
      await ended(mount, fd);
    }
  });

  test('its file system unmounted: what is open or was met goes on until the end', async () => {
    const mount = await mounted('memory');
    const inner = fs.mkdtempSync(join(mount.backing, 'mount-'));
    const tmpfs = fs.mkdtempSync(join(mount.backing, 'tmpfs-'));
    execFileSync('mount', ['-t', 'tmpfs', 'virtiofs-test', tmpfs]);
    const program = new URL('../../dist/cli.js', import.meta.url).pathname;
    const child = spawn(process.execPath, [program, 'mount', `dir:${tmpfs}`, inner, '-o', FRESH]);
    const exit = new Promise((resolve) => child.once('exit', resolve));
    let stderr = '';
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      fs.writeFileSync(join(inner, 'file'), 'content');
      execFileSync('umount', ['-l', tmpfs]);
      expect(fs.readdirSync(tmpfs)).toEqual([]);
      expect(fs.readFileSync(join(inner, 'file'), 'utf8')).toBe('content');
      fs.mkdirSync(join(inner, 'made'));
      expect(fs.readdirSync(inner).sort()).toEqual(['file', 'made']);
      execFileSync('umount', [inner]);
      expect([await exit, stderr]).toEqual([0, '']);
    } finally {
      child.kill('SIGKILL');
      for (const dir of [inner, tmpfs]) codeOf(() => execFileSync('umount', ['-l', dir], { stdio: 'ignore' }));
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    }
  });
});

/** Opens 10,000 files, counts what it got; then whether what it has works, and whether anything else does. */
const MANY = `
import collections, errno, os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (10100, max(10100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
files, said = [], collections.Counter()
for i in range(10000):
    try: files.append(os.open('f%d' % i, os.O_RDWR | os.O_CREAT))
    except OSError as e: said[errno.errorcode[e.errno]] += 1
for i, f in enumerate(files): os.pwrite(f, b'%d' % i, 0)
right = sum(os.pread(f, 10, 0) == b'%d' % i for i, f in enumerate(files))
os.mkdir('d'); os.rename('d', 'e'); os.rmdir('e'); os.stat('f1')
names = len(os.listdir('.'))
for f in files: os.close(f)
again = os.open('f0', os.O_RDWR)
print(len(files) == right == names, right, ' '.join(said), os.pread(again, 9, 0).decode())
`;

describe.skipIf(skipReason !== undefined)(titled('10,000 files open at once'), () => {
  const limits = [
    ['memory', 64, /^True 10000 {2}0$/],
    ['dir', 16_000, /^True 10000 {2}0$/],
    // The server's own limit, which is not the program's: ENFILE, and everything else goes on.
    ['dir', 1024, /^True [67]\d\d ENFILE 0$/],
  ] as const;
  test.each(limits)('%s, of a server that may have %i', async (kind, limit, expected) => {
    if (codeOf(() => execFileSync('python3', ['--version'], { stdio: 'pipe' })) !== 'OK') return;
    const mount = await mounted(kind, 'allow_other', '', limit);
    try {
      fs.writeFileSync(join(mount.backing, '..', 'many.py'), MANY);
      expect(mount.sh('timeout 50 python3 ../many.py'.replace('..', join(mount.backing, '..')))).toMatch(expected);
    } finally {
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    }
  });
});

describe.skipIf(skipReason !== undefined)(titled('a full file system'), () => {
  test.each(['memory', 'dir'] as const)(
    '%s: one write is short, the next is ENOSPC, what was there is whole',
    async (kind) => {
      const mount = await mounted(kind, 'allow_other', kind === 'memory' ? ':4MiB' : '', undefined, '4m');
      try {
        fs.writeFileSync(mount.path('kept'), Buffer.alloc(100_000, 7));
        const fd = fs.openSync(mount.path('full'), 'w');
        const bytes = Buffer.alloc(600_001, 8);
        let size = 0;
        let code = 'OK';
        while (code === 'OK') {
          code = codeOf(() => {
            const done = fs.writeSync(fd, bytes, 0, bytes.length, size);
            expect(done).toBeGreaterThan(0);
            size += done;
          });
        }
        expect([code, size % bytes.length > 0]).toEqual(['ENOSPC', true]);
        expect(codeOf(() => fs.writeSync(fd, 'x', size + 8192))).toBe('ENOSPC');
        fs.closeSync(fd);
        expect(fs.readFileSync(mount.path('full')).equals(Buffer.alloc(size, 8))).toBe(true);
        expect(fs.readFileSync(mount.path('kept')).equals(Buffer.alloc(100_000, 7))).toBe(true);
        fs.truncateSync(mount.path('full'), 1);
        fs.writeFileSync(mount.path('again'), bytes);
      } finally {
        expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
      }
    },
  );
});

test.skipIf(skipReason !== undefined)(
  'a mount from which umount is called outside takes its busy users along',
  async () => {
    const mount = await mounted('memory');
    const fd = fs.openSync(mount.path('a'), 'w');
    umount(mount.dir, '-l');
    expect(codeOf(() => fs.writeSync(fd, 'still served'))).toBe('OK');
    fs.closeSync(fd);
    expect(await mount.command.ended).toMatchObject({ code: 0, stderr: '' });
    await mount.stop();
  },
);
