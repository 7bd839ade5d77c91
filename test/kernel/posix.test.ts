/** POSIX conduct as the real kernel sees it, on a memory mount and on a directory mount. */
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nativeTitle } from '../fakes/native.ts';
import { codeOf, type Mounted, mounted, skipReason, titled } from './mounted.ts';

const ALICE = 1001;
const BOB = 1002;

/** A directory lacks some of it without the optional package of system calls. */
const KINDS = [
  { title: 'memory', kind: 'memory', options: 'allow_other', hasAll: true },
  { title: 'dir', kind: 'dir', options: 'allow_other,no_native', hasAll: false },
  { title: nativeTitle('dir with native calls'), kind: 'dir', options: 'allow_other', hasAll: true },
] as const;

describe.each(KINDS)('$title', ({ title, kind, options, hasAll }) => {
  const isSkipped = skipReason !== undefined || title.includes('[skipped');
  describe.skipIf(isSkipped)(titled('names, modes and times'), () => {
    let mount: Mounted;
    const at = (name: string) => mount.path(name);
    const modeOf = (name: string) => fs.lstatSync(at(name)).mode & 0o7777;

    beforeAll(async () => {
      mount = await mounted(kind, options);
    });
    afterAll(async () => {
      // Exit code 0 also says that no inode, frame or descriptor was left.
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    });

    test('what git makes, packs and clones is whole', () => {
      mount.sh(`
        git init -q repo; cd repo; git config user.email a@b; git config user.name n
        for i in 1 2 3 4 5 6 7 8; do echo $i > f$i; git add f$i; git commit -qm $i; done
        git gc -q; cd ..; git clone -q repo clone; cd clone; git fsck --full 2>&1`);
      expect(mount.sh('cat clone/f*').split('\n')).toHaveLength(8);
    });

    test('a tree survives tar, cp -a and mv, and rm -rf takes it away', () => {
      mount.sh(`
        mkdir tree; (cd /usr/share && tar cf - doc/bash doc/coreutils 2>/dev/null || true) | tar xf - -C tree
        mkdir -p tree/deep/er; ln -s deep/er tree/link; echo hard > tree/one; ln tree/one tree/two
        touch -d '2001-02-03 04:05:06' tree/one; chmod 2750 tree/deep
        tar cf t.tar tree; mkdir out; tar xf t.tar -C out; diff -r tree out/tree; cp -a tree copy; diff -r tree copy`);
      const { ino, nlink, mtimeMs } = fs.statSync(at('copy/two'));
      expect([ino, nlink]).toEqual([fs.statSync(at('copy/one')).ino, 2]);
      expect([mtimeMs, modeOf('copy/deep')]).toEqual([fs.statSync(at('tree/one')).mtimeMs, 0o2750]);
      mount.sh('mv copy moved; rm -rf tree out moved t.tar; test ! -e moved');
    });

    test('a directory of 10,000 entries lists each once, while others go', () => {
      fs.mkdirSync(at('many'));
      for (let i = 0; i < 10_000; i++) fs.closeSync(fs.openSync(at(`many/f${i}`), 'w'));
      const dir = fs.opendirSync(at('many'), { bufferSize: 100 });
      const seen = new Set<string>();
      for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) {
        expect(seen.has(entry.name)).toBe(false);
        seen.add(entry.name);
        fs.unlinkSync(at(`many/${entry.name}`));
      }
      dir.closeSync();
      expect(seen.size).toBe(10_000);
      fs.rmdirSync(at('many'));
    });

    test('a name may have 255 bytes of any value but slash and NUL', () => {
      const longest = at('n'.repeat(255));
      fs.writeFileSync(longest, '');
      expect(codeOf(() => fs.writeFileSync(`${longest}n`, ''))).toBe('ENAMETOOLONG');
      const bytes = Buffer.concat([Buffer.from(`${mount.dir}/`), Buffer.from([0xff, 0xfe, 0x0a, 0x20, 0x80])]);
      fs.writeFileSync(bytes, 'bytes');
      const names = fs.readdirSync(mount.dir, { encoding: 'buffer' }).map((name) => name.toString('hex'));
      expect(names).toContain('fffe0a2080');
      expect(fs.readFileSync(bytes, 'utf8')).toBe('bytes');
      fs.unlinkSync(bytes);
      fs.unlinkSync(longest);
    });

    test('rename keeps the rules', () => {
      mount.sh('mkdir -p r/a/b r/empty r/full; touch r/file r/full/x');
      expect(codeOf(() => fs.renameSync(at('r/a'), at('r/a/b/c')))).toBe('EINVAL');
      expect(codeOf(() => fs.renameSync(at('r/file'), at('r/empty')))).toBe('EISDIR');
      expect(codeOf(() => fs.renameSync(at('r/empty'), at('r/file')))).toBe('ENOTDIR');
      expect(codeOf(() => fs.renameSync(at('r/empty'), at('r/full')))).toBe('ENOTEMPTY');
      expect(codeOf(() => fs.renameSync(at('r/none'), at('r/x')))).toBe('ENOENT');
      fs.renameSync(at('r/a'), at('r/empty'));
      expect([fs.readdirSync(at('r/empty')), fs.statSync(at('r')).nlink]).toEqual([['b'], 4]);
    });

    test('links: counts, loops, and a target as long as a path may be', () => {
      fs.writeFileSync(at('l1'), 'x');
      fs.linkSync(at('l1'), at('l2'));
      expect(fs.statSync(at('l1')).nlink).toBe(2);
      fs.unlinkSync(at('l1'));
      expect(fs.statSync(at('l2')).nlink).toBe(1);
      fs.symlinkSync('loop', at('loop'));
      expect(codeOf(() => fs.statSync(at('loop')))).toBe('ELOOP');
      const target = 't'.repeat(4095);
      fs.symlinkSync(target, at('far'));
      expect(fs.readlinkSync(at('far'))).toBe(target);
      expect(codeOf(() => fs.linkSync(mount.dir, at('dirlink')))).toBe('EPERM');
    });

    test('umask, sgid directories, sticky directories and owners are as Linux has them', () => {
      mount.sh(`mkdir s; chmod 2777 s; chgrp ${BOB} s; mkdir t; chmod 1777 t`);
      mount.sh('umask 027; mkdir s/d; touch s/f', ALICE);
      const [d, f] = [fs.statSync(at('s/d')), fs.statSync(at('s/f'))];
      expect([d.uid, d.gid, d.mode & 0o7777]).toEqual([ALICE, BOB, 0o2750]);
      expect([f.uid, f.gid, f.mode & 0o7777]).toEqual([ALICE, BOB, 0o640]);
      mount.sh('touch t/mine', ALICE);
      expect(mount.fails('rm -f t/mine', BOB)).toMatch(/Operation not permitted/);
      expect(mount.fails('mv t/mine t/yours', BOB)).toMatch(/Operation not permitted/);
      expect(mount.fails('chmod 777 t/mine', BOB)).toMatch(/Operation not permitted/);
      expect(mount.fails('echo x > s/d/f', BOB)).toMatch(/Permission denied|cannot create/);
    });

    test('set-id bits go when somebody else writes, truncates or owns the file', () => {
      mount.sh('touch k1 k2 k3 k4; chmod 6777 k1 k2 k3 k4');
      mount.sh('echo x >> k1; : > k2', ALICE);
      fs.chownSync(at('k3'), ALICE, ALICE);
      mount.sh('echo root >> k4');
      expect([modeOf('k1'), modeOf('k2'), modeOf('k3'), modeOf('k4')]).toEqual([0o777, 0o777, 0o777, 0o6777]);
      // A file made with O_TRUNC keeps what it was made with.
      fs.closeSync(fs.openSync(at('k5'), 'w', 0o6755));
      expect(modeOf('k5')).toBe(0o6755);
    });

    test('times are set to the microsecond, before 1970 too, and changes move mtime and ctime', () => {
      mount.sh("touch -d '2033-05-18 03:33:20.123456 UTC' new; touch -d '1960-01-01 UTC' old");
      expect(fs.statSync(at('new'), { bigint: true }).mtimeNs / 1000n).toBe(2_000_000_000_123_456n);
      expect(fs.statSync(at('old')).mtimeMs).toBe(Date.UTC(1960, 0, 1));
      const before = fs.statSync(at('new'), { bigint: true });
      mount.sh('sleep 0.02; chmod 600 new');
      const after = fs.statSync(at('new'), { bigint: true });
      expect([after.mtimeNs, after.ctimeNs > before.ctimeNs]).toEqual([before.mtimeNs, true]);
      expect(fs.statSync(at('new'), { bigint: true }).birthtimeNs <= after.ctimeNs).toBe(true);
    });

    test('fifos, sockets and devices exist; Node alone cannot make them in a directory', () => {
      if (hasAll) {
        mount.sh('mkfifo p; mknod null c 1 3; echo gone > null; (echo through > p &) ; cat p | grep -q through');
        expect([fs.statSync(at('p')).isFIFO(), fs.statSync(at('null')).rdev]).toEqual([true, 0x103]);
      } else {
        expect(mount.fails('mkfifo p')).toMatch(/Operation not permitted/);
      }
    });

    test('extended attributes are kept; with Node alone ENOTSUP in a directory', () => {
      mount.sh('touch x');
      const script = "import os;os.setxattr('x','user.a',b'v');print(os.getxattr('x','user.a'),os.listxattr('x'))";
      const has = codeOf(() => mount.sh('command -v python3')) === 'OK';
      if (!has) return;
      if (hasAll) expect(mount.sh(`python3 -c "${script}"`)).toBe("b'v' ['user.a']");
      else expect(mount.fails(`python3 -c "${script}"`)).toMatch(/Operation not supported/);
    });

    test('df knows the size, and the size limit of memory is ENOSPC', () => {
      const { bsize, blocks, bavail } = fs.statfsSync(mount.dir);
      expect([bsize, bavail <= blocks]).toEqual([4096, true]);
      if (kind === 'memory') expect(blocks).toBe(2 ** 18);
    });
  });
});
