/**
 * One host for guests and for mounts of the real kernel. The mount believes names and attributes for an hour: what it
 * shows of a guest's changes, it shows because it was told. `here` is the mount, looked at by the guest's own thread
 * right after its call has returned.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { CreateHostOptions, Host, KernelMountHandle } from '../../src/index.ts';
import { runGuest } from '../workers/run-guest.ts';
import { codeOf, isMounted, skipReason, titled, umount } from './mounted.ts';

const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const HOUR = 'allow_other,attr_timeout=3600,entry_timeout=3600,negative_timeout=3600';
const hosts: Host[] = [];
const directories: string[] = [];

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.terminate();
  for (const directory of directories.splice(0)) {
    const mountPoint = join(directory, 'mount');
    if (isMounted(mountPoint)) umount(mountPoint, '-l');
    rmSync(directory, { recursive: true });
  }
});

async function start(options: CreateHostOptions = {}): Promise<Host> {
  const host = await createHost({ attrTimeoutMs: 0, entryTimeoutMs: 0, cacheSize: 64 << 20, ...options });
  hosts.push(host);
  return host;
}

function directory(): string {
  const base = mkdtempSync(join(tmpdir(), 'virtiofs-shared-'));
  directories.push(base);
  mkdirSync(join(base, 'mount'));
  mkdirSync(join(base, 'backing'));
  return base;
}

async function mountOf(host: Host, options = HOUR): Promise<KernelMountHandle> {
  return host.mountKernel(join(directory(), 'mount'), options);
}

/** Runs `body` in a guest; `here` is the mount's path, `fs` is Node's. */
async function inGuest(host: Host, mount: KernelMountHandle, body: string): Promise<unknown> {
  const script = `const fs = process.getBuiltinModule('node:fs'); const here = data;
    const code = (work) => { try { work(); return 'OK'; } catch (error) { return error.code; } };
    const text = (path) => fs.readFileSync(path, 'utf8');
    const part = (fd, pos, size) => {
      const bytes = Buffer.alloc(size);
      return bytes.toString('utf8', 0, fs.readSync(fd, bytes, 0, size, pos));
    };
    const put = (file, word, pos) => file.write(new TextEncoder().encode(word), 0, word.length, pos);
    ${body}`;
  const run = runGuest(host, script, mount.mountPoint);
  const result = await run.result;
  await run.exited;
  return result;
}

describe.skipIf(skipReason !== undefined)(titled('a host that is mounted by the kernel, too'), () => {
  test('a guest creates, links, renames and removes: the mount shows it when the call returns', async () => {
    const host = await start();
    const mount = await mountOf(host);
    const seen = await inGuest(
      host,
      mount,
      `const seen = [];
       seen.push(code(() => fs.statSync(here + '/a')));
       guest.writeFile('/a', 'one');
       seen.push(text(here + '/a'), fs.statSync(here + '/a').nlink);
       guest.link('/a', '/b');
       seen.push(fs.statSync(here + '/a').nlink, fs.statSync(here + '/b').nlink);
       guest.rename('/b', '/c');
       seen.push(code(() => fs.statSync(here + '/b')), text(here + '/c'));
       guest.unlink('/c');
       seen.push(code(() => fs.statSync(here + '/c')), fs.statSync(here + '/a').nlink);
       guest.mkdir('/d');
       seen.push(fs.statSync(here + '/d').isDirectory(), fs.statSync(here).nlink);
       guest.rmdir('/d');
       seen.push(code(() => fs.statSync(here + '/d')), fs.statSync(here).nlink);
       return seen;`,
    );
    expect(seen).toEqual(['ENOENT', 'one', 1, 2, 2, 'ENOENT', 'one', 'ENOENT', 1, true, 3, 'ENOENT', 2]);
    const report = await host.stop();
    expect(isMounted(mount.mountPoint)).toBe(false);
    expect(report?.inodes).toBe(1);
  });

  test('a guest writes, truncates and changes the mode: who has the file open through the mount sees it', async () => {
    const host = await start({ windowSize: 0 });
    const mount = await mountOf(host);
    const seen = await inGuest(
      host,
      mount,
      `guest.writeFile('/a', 'o'.repeat(10000));
       const fd = fs.openSync(here + '/a', 'r');
       const seen = [part(fd, 5000, 3)];
       const file = guest.open('/a', 'r+');
       put(file, 'abc', 5000);
       seen.push(part(fd, 4999, 5));
       put(file, 'end', 10000);
       seen.push(fs.fstatSync(fd).size, part(fd, 9999, 10));
       guest.truncate('/a', 5001);
       seen.push(fs.fstatSync(fd).size, part(fd, 4999, 10));
       guest.chmod('/a', 0o600);
       seen.push((fs.fstatSync(fd).mode & 0o777).toString(8));
       file.close();
       fs.closeSync(fd);
       return seen;`,
    );
    expect(seen).toEqual(['ooo', 'oabco', 10003, 'oend', 5001, 'oa', '600']);
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('what a guest stores through its window, the mount shows after the guest has synced', async () => {
    const host = await start();
    const mount = await mountOf(host);
    const seen = await inGuest(
      host,
      mount,
      `guest.writeFile('/a', 'o'.repeat(10000));
       const fd = fs.openSync(here + '/a', 'r');
       const seen = [part(fd, 5000, 3)];
       const file = guest.open('/a', 'r+');
       put(file, 'abc', 5000);
       file.sync();
       seen.push(part(fd, 4999, 5));
       file.close();
       fs.closeSync(fd);
       return seen;`,
    );
    expect(seen).toEqual(['ooo', 'oabco']);
  });

  test('what is written through the mount, guests read', async () => {
    const host = await start();
    const mount = await mountOf(host);
    writeFileSync(`${mount.mountPoint}/a`, 'from the kernel');
    mkdirSync(`${mount.mountPoint}/d`);
    renameSync(`${mount.mountPoint}/a`, `${mount.mountPoint}/d/b`);
    const body = `fs.appendFileSync(here + '/d/b', '!'); return new TextDecoder().decode(guest.readFile('/d/b'));`;
    expect(await inGuest(host, mount, body)).toBe('from the kernel!');
  });

  test('two mounts tell each other, soon', async () => {
    const host = await start();
    const one = await mountOf(host);
    const two = await mountOf(host);
    writeFileSync(`${one.mountPoint}/a`, 'one');
    await expect.poll(() => codeOf(() => statSync(`${two.mountPoint}/a`))).toBe('OK');
    writeFileSync(`${two.mountPoint}/a`, 'three');
    await expect.poll(() => readFileSync(`${one.mountPoint}/a`, 'utf8')).toBe('three');
    await one.unmount();
    rmSync(`${two.mountPoint}/a`);
    await two.unmount();
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('a lock that is held through one mount is held for the other, until its holder closes the file', async () => {
    const host = await start();
    const [one, two] = [await mountOf(host), await mountOf(host)];
    writeFileSync(`${one.mountPoint}/a`, '');
    const script = `flock ${one.mountPoint}/a -c 'flock -n ${two.mountPoint}/a echo taken || echo held'
      flock -n ${two.mountPoint}/a echo free`;
    expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).toBe('held\nfree\n');
    await one.unmount();
    await two.unmount();
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('local_locks is refused: guests would not see the locks', async () => {
    const host = await start();
    await expect(mountOf(host, 'local_locks')).rejects.toThrow('mount option local_locks is for a mount alone');
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('guests and programs on the mount change one directory at once, and nobody waits for ever', async () => {
    const host = await start();
    const mounts = [await mountOf(host), await mountOf(host)];
    const body = `for (let i = 0; i < 300; i++) {
        guest.writeFile('/x' + (i % 7), 'g' + i);
        const codes = [
          code(() => guest.rename('/x' + (i % 7), '/y' + (i % 5))),
          code(() => guest.unlink('/y' + (i % 3))),
        ];
        for (const one of codes) if (one !== 'OK' && one !== 'ENOENT') throw new Error(one);
      }
      return 'done';`;
    const guests = [
      inGuest(host, mounts[0] as KernelMountHandle, body),
      inGuest(host, mounts[1] as KernelMountHandle, body),
    ];
    const shell = `for i in $(seq 100); do
        echo $i > x$((i % 7))
        mv x$((i % 7)) y$((i % 5)) || true
        ls -l || true
        cat y* || true
      done > /dev/null 2>&1`;
    const programs = mounts.map(async ({ mountPoint }) => {
      const child = spawn('/bin/sh', ['-c', shell], { cwd: mountPoint, stdio: 'ignore' });
      return new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    });
    expect(await Promise.all(guests)).toEqual(['done', 'done']);
    expect(await Promise.all(programs)).toEqual([0, 0]);
    const names = mounts.map(({ mountPoint }) => readdirSync(mountPoint).sort());
    expect(names[0]).toEqual(names[1]);
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('an unmount from outside ends the mount, and its place can be taken again', async () => {
    const host = await start({ kernelMounts: 1 });
    const mount = await mountOf(host);
    writeFileSync(`${mount.mountPoint}/a`, 'kept');
    await expect(mountOf(host)).rejects.toThrow(/all 1 kernel mounts/);
    execFileSync('umount', [mount.mountPoint]);
    await mount.ended;
    const again = await mountOf(host);
    expect(readFileSync(`${again.mountPoint}/a`, 'utf8')).toBe('kept');
    await again.unmount();
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('a guest that is killed takes nothing of the mount with it', async () => {
    const host = await start();
    const mount = await mountOf(host);
    const body = `say('up'); for (let i = 0; ; i++) { guest.writeFile('/a', 'x' + i); guest.rename('/a', '/b'); }`;
    const run = runGuest(host, body);
    await run.said();
    await expect.poll(() => codeOf(() => statSync(`${mount.mountPoint}/b`))).toBe('OK');
    await run.worker.terminate();
    await run.exited;
    await expect.poll(() => host.guests).toBe(0);
    writeFileSync(`${mount.mountPoint}/c`, 'still here');
    expect(readFileSync(`${mount.mountPoint}/c`, 'utf8')).toBe('still here');
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('what a guest stored through its window before it was killed, the mount shows', async () => {
    const host = await start();
    const mount = await mountOf(host);
    writeFileSync(`${mount.mountPoint}/a`, 'o'.repeat(10000));
    const reader = openSync(`${mount.mountPoint}/a`, 'r');
    const word = () => {
      const bytes = Buffer.alloc(3);
      readSync(reader, bytes, 0, 3, 5000);
      return bytes.toString();
    };
    const body = `const file = guest.open('/a', 'r+');
      file.write(new TextEncoder().encode('abc'), 0, 3, 5000);
      say(file.isDax);
      for (;;) guest.stat('/a');`;
    expect(word()).toBe('ooo');
    const run = runGuest(host, body);
    expect(await run.said()).toBe(true);
    await run.worker.terminate();
    await run.exited;
    await expect.poll(word).toBe('abc');
    closeSync(reader);
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('a mount that fails gives its place back', async () => {
    const host = await start({ kernelMounts: 1 });
    const path = process.env['PATH'];
    const base = directory();
    writeFileSync(join(base, 'file'), '');
    try {
      for (const name of ['nowhere', 'file']) {
        process.env['PATH'] = join(base, name);
        await expect(mountOf(host)).rejects.toThrow(/cannot run mount/);
      }
    } finally {
      process.env['PATH'] = path;
    }
    await expect(mountOf(host, 'size=1M')).rejects.toThrow(/size=/);
    const mount = await mountOf(host);
    expect(isMounted(mount.mountPoint)).toBe(true);
    expect((await host.stop())?.inodes).toBe(1);
  });

  test('with no_default_permissions the host checks who may', async () => {
    const host = await start();
    const mount = await mountOf(host, 'allow_other,no_default_permissions');
    writeFileSync(`${mount.mountPoint}/a`, 'secret', { mode: 0o600 });
    execFileSync('chmod', ['755', join(mount.mountPoint, '..')]);
    const options = { uid: 1234, gid: 1234, stdio: 'pipe' } as const;
    expect(spawnSync('cat', [`${mount.mountPoint}/a`], options).stderr.toString()).toMatch(/Permission denied/);
    expect(readFileSync(`${mount.mountPoint}/a`, 'utf8')).toBe('secret');
  });

  test('terminate breaks the mount', async () => {
    const host = await start();
    const mount = await mountOf(host);
    await host.terminate();
    await mount.ended;
    expect(isMounted(mount.mountPoint)).toBe(false);
  });

  test('a process that exits leaves no mount behind', () => {
    const base = directory();
    const mountPoint = join(base, 'mount');
    const script = `import { createHost } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
      const host = await createHost();
      await host.mountKernel(process.argv[2]);
      process.exit(3);`;
    const options = { timeout: 20_000, stdio: 'pipe' } as const;
    const args = [join(base, 'exit.mjs'), mountPoint];
    writeFileSync(join(base, 'exit.mjs'), script);
    expect(spawnSync(process.execPath, args, options).status).toBe(3);
    expect(isMounted(mountPoint)).toBe(false);
  });

  test('stop unmounts a mount that is in use', async () => {
    const host = await start();
    const mount = await mountOf(host);
    const user = spawn('sleep', ['60'], { cwd: mount.mountPoint, stdio: 'ignore' });
    await new Promise((resolve) => user.once('spawn', resolve));
    await expect(mount.unmount()).rejects.toThrow(/busy/);
    const report = await host.stop();
    user.kill();
    expect(isMounted(mount.mountPoint)).toBe(false);
    expect(report?.inodes).toBe(1);
  });

  test('a directory is served likewise, and cannot be mounted inside itself', async () => {
    const base = directory();
    const host = await start({ fs: `dir:${join(base, 'backing')}` });
    const inside = join(base, 'backing', 'inside');
    mkdirSync(inside);
    await expect(host.mountKernel(inside)).rejects.toThrow(/inside the served directory/);
    const mount = await host.mountKernel(join(base, 'mount'), HOUR);
    const body = `const seen = [code(() => fs.statSync(here + '/a'))];
      guest.writeFile('/a', 'one');
      seen.push(text(here + '/a'));
      guest.rename('/a', '/b');
      seen.push(code(() => fs.statSync(here + '/a')), text(here + '/b'));
      guest.unlink('/b');
      seen.push(code(() => fs.statSync(here + '/b')));
      return seen;`;
    expect(await inGuest(host, mount, body)).toEqual(['ENOENT', 'one', 'ENOENT', 'one', 'ENOENT']);
    expect((await host.stop())?.inodes).toBe(1);
  });
});
