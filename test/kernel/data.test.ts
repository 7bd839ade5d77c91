/** File content as the real kernel sees it: its page cache, its locks, and ours below. */
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeOf, type Mounted, mounted, skipReason, titled } from './mounted.ts';

const MIB = 1 << 20;

/** A parent holds bytes 0 to 9; a child wants bytes 5 to 14, then others, then waits, then waits with an alarm set. */
const LOCKS = `
import errno, fcntl, os, signal, time
file = os.open('locked', os.O_RDWR | os.O_CREAT)
fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
go, said = os.pipe(), os.pipe()
if os.fork() == 0:
    mine = os.open('locked', os.O_RDWR)
    try: fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
    except OSError as e: os.write(said[1], errno.errorcode[e.errno].encode())
    fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10); os.write(said[1], b' other')
    fcntl.lockf(mine, fcntl.LOCK_EX, 5, 0); os.write(said[1], b' woken')
    fcntl.lockf(mine, fcntl.LOCK_UN); os.write(said[1], b'.'); os.read(go[0], 1)
    def stop(*_): raise InterruptedError
    signal.signal(signal.SIGALRM, stop); signal.setitimer(signal.ITIMER_REAL, 0.2)
    try: fcntl.lockf(mine, fcntl.LOCK_EX, 5, 0)
    except InterruptedError: os.write(said[1], b' EINTR')
    os._exit(0)
time.sleep(0.3)
fcntl.lockf(file, fcntl.LOCK_UN, 10, 0)
heard = b''
while not heard.endswith(b'.'): heard += os.read(said[0], 100)
fcntl.lockf(file, fcntl.LOCK_EX, 10, 0); os.write(go[1], b'x'); os.wait()
print((heard[:-1] + os.read(said[0], 100)).decode())
`;

describe.each(['memory', 'dir'] as const)('%s', (kind) => {
  describe.skipIf(skipReason !== undefined)(titled('file content'), () => {
    let mount: Mounted;
    const at = (name: string) => mount.path(name);

    beforeAll(async () => {
      mount = await mounted(kind);
    });
    afterAll(async () => {
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    });

    test('16 MiB written in pieces of every size come back, through a cold cache too', () => {
      const content = Buffer.alloc(16 * MIB);
      for (let i = 0; i < content.length; i += 4) content.writeUInt32LE((i * 2654435761) >>> 0, i);
      const fd = fs.openSync(at('big'), 'w');
      for (let pos = 0, size = 1; pos < content.length; pos += size, size = Math.min(3 * MIB, size * 3 + 1)) {
        fs.writeSync(fd, content, pos, Math.min(size, content.length - pos), pos);
      }
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      expect(fs.readFileSync(at('big')).equals(content)).toBe(true);
      mount.sh('dd if=big of=/dev/null bs=1M iflag=direct 2>/dev/null; cmp big big');
      const direct = mount.sh('dd if=big bs=64k iflag=direct 2>/dev/null | cksum');
      expect(direct).toBe(mount.sh('cat big | cksum'));
    });

    test('holes read as zeros, and truncating there and back leaves zeros', () => {
      const fd = fs.openSync(at('holes'), 'w+');
      fs.writeSync(fd, 'start', 0);
      fs.writeSync(fd, 'end', 5 * MIB);
      fs.ftruncateSync(fd, 3);
      fs.ftruncateSync(fd, 10);
      const bytes = Buffer.alloc(20, 1);
      expect([fs.readSync(fd, bytes, 0, 20, 0), bytes.toString('latin1', 0, 10)]).toEqual([10, 'sta\0\0\0\0\0\0\0']);
      fs.closeSync(fd);
    });

    test('a file without a name is read and written until it is closed', () => {
      const fd = fs.openSync(at('gone'), 'w+');
      fs.unlinkSync(at('gone'));
      fs.writeSync(fd, 'still here', 0);
      const bytes = Buffer.alloc(10);
      fs.readSync(fd, bytes, 0, 10, 0);
      expect([bytes.toString(), fs.fstatSync(fd).nlink, fs.existsSync(at('gone'))]).toEqual(['still here', 0, false]);
      fs.closeSync(fd);
    });

    test('two processes that append lose no line', () => {
      mount.sh('for p in a b; do (for i in $(seq 300); do echo $p$i >> log; done) & done; wait');
      expect(new Set(mount.sh('cat log').split('\n')).size).toBe(600);
    });

    test('flock is exclusive between processes', () => {
      const held = mount.sh('touch lock; flock lock -c "flock -n lock echo taken || echo held"');
      expect(held).toBe('held');
    });

    test('record locks exclude by range, wake who waits, and a signal ends the waiting', () => {
      if (codeOf(() => mount.sh('command -v python3')) !== 'OK') return;
      fs.writeFileSync(at('locks.py'), LOCKS);
      expect(mount.sh('timeout 20 python3 locks.py')).toBe('EAGAIN other woken EINTR');
    });

    test('stores through a shared mapping reach readers and the file', () => {
      if (codeOf(() => mount.sh('command -v python3')) !== 'OK') return;
      const script = [
        'import mmap',
        "f = open('mapped', 'w+b'); f.truncate(8192)",
        'm = mmap.mmap(f.fileno(), 8192); m[5000:5005] = b"store"',
        "print(open('mapped', 'rb').read()[5000:5005])",
        'm.flush(); m.close(); f.close()',
      ].join('\n');
      fs.writeFileSync(at('map.py'), script);
      expect(mount.sh('python3 map.py')).toBe("b'store'");
      expect(mount.sh('dd if=mapped bs=4096 iflag=direct 2>/dev/null | tail -c 3192 | head -c 5')).toBe('store');
      if (kind === 'dir') expect(fs.readFileSync(`${mount.backing}/mapped`, 'latin1').slice(5000, 5005)).toBe('store');
    });

    test('fallocate, punched holes, and offsets beyond what a file may have', () => {
      mount.sh('printf 0123456789 > fa; fallocate -l 8192 fa; fallocate -p -o 2 -l 3 fa; head -c 10 fa > head');
      expect(fs.statSync(at('fa')).size).toBe(8192);
      expect(fs.readFileSync(at('head'), 'latin1')).toBe('01\0\0\x0056789');
      expect(mount.fails('fallocate -c -o 0 -l 4096 fa')).toMatch(/not supported/);
      expect(codeOf(() => fs.truncateSync(at('fa'), Number.MAX_SAFE_INTEGER))).toBe('EFBIG');
    });

    test('cp between files of the mount copies the bytes', () => {
      mount.sh('head -c 3000000 /dev/urandom > from; cp --reflink=auto from to; cmp from to');
      expect(fs.statSync(at('to')).size).toBe(3_000_000);
    });

    test.runIf(kind === 'dir')('what somebody else writes into a file is there at the next open', () => {
      const backing = `${mount.backing}/changed`;
      fs.writeFileSync(backing, 'first');
      for (const text of ['other', 'third', 'again']) {
        for (let i = 0; i < 3; i++) fs.readFileSync(at('changed'));
        // The times of files go in ticks of up to 10 ms; a change within one is not seen.
        mount.sh('sleep 0.03');
        fs.writeFileSync(backing, text);
        expect(fs.readFileSync(at('changed'), 'utf8')).toBe(text);
      }
    });

    test('many files are open at once', () => {
      const fds: number[] = [];
      for (let i = 0; i < 2000; i++) fds.push(fs.openSync(at(`open${i}`), 'w'));
      for (const [i, fd] of fds.entries()) fs.writeSync(fd, String(i));
      for (const fd of fds) fs.closeSync(fd);
      expect(fs.readFileSync(at('open1999'), 'utf8')).toBe('1999');
      mount.sh('rm open*');
    });
  });
});

describe.skipIf(skipReason !== undefined)(titled('writeback_cache'), () => {
  test.each(['memory', 'dir'] as const)('%s has everything that was written, once it is unmounted', async (kind) => {
    const mount = await mounted(kind, 'writeback_cache');
    try {
      mount.sh('for i in $(seq 200); do echo line $i >> log; done; printf ab > part; printf c >> part');
      mount.sh('touch -d "2001-02-03 04:05:06 UTC" part');
      expect(mount.sh('wc -l < log; cat part; stat -c %Y part')).toBe('200\nabc981173106');
      mount.sh('sync -f .; dd if=log iflag=direct bs=4096 2>/dev/null | cmp - log');
    } finally {
      expect(
        await mount.stop((backing) => {
          if (kind === 'dir') expect(fs.readFileSync(`${backing}/log`, 'utf8').split('\n')).toHaveLength(201);
        }),
      ).toMatchObject({ code: 0, stderr: '' });
    }
  });
});

describe.skipIf(skipReason !== undefined)(titled('a full memory file system'), () => {
  test('writes what fits, then says ENOSPC, and nothing else is lost', async () => {
    const mount = await mounted('memory', 'allow_other', ':4MiB');
    try {
      fs.writeFileSync(mount.path('kept'), 'kept');
      const message = mount.fails('head -c 8000000 /dev/zero > full');
      expect(message).toMatch(/No space left/);
      expect(fs.readFileSync(mount.path('kept'), 'utf8')).toBe('kept');
      expect(fs.statSync(mount.path('full')).size).toBeGreaterThan(3.5 * MIB);
      fs.unlinkSync(mount.path('full'));
      // The kernel forgets the file when it likes, and only then are its pages free.
      await expect
        .poll(() => fs.statfsSync(mount.path('.')).bfree, { timeout: 5000 })
        .toBeGreaterThan((3 * MIB) / 4096);
      fs.writeFileSync(mount.path('again'), Buffer.alloc(3 * MIB));
      expect(fs.statSync(mount.path('again')).size).toBe(3 * MIB);
    } finally {
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    }
  });
});
