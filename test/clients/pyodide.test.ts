import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Host } from '../../src/index.ts';
import { hasClient, Python } from './python.ts';

// The bundle, not the sources: a worker's file has to be JavaScript.
const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const isThere = hasClient('pyodide');
const isRequired = (process.env['VIRTIOFS_REQUIRE'] ?? '').split(',').includes('clients');

test.runIf(isRequired)('the packages of test/clients are installed', () => expect(isThere).toBe(true));

describe.skipIf(!isThere)('Python in two workers on one tree (npm ci --prefix test/clients)', () => {
  let host: Host;
  let one: Python;
  let two: Python;

  beforeAll(async () => {
    host = await createHost({ cacheSize: 64 << 20, windowSize: 16 << 20, guests: 4, log: () => {} });
    [one, two] = await Promise.all([Python.start(host), Python.start(host)]);
  });

  afterAll(async () => {
    await Promise.all([one.stop(), two.stop()]);
    await host.terminate();
  });

  test('text that one writes, the other reads, appends to, and the first sees that', async () => {
    await one.run(`open('text', 'w', encoding='utf-8').write('eins\\nzwei\\n')`);
    await two.run(`
      with open('text', 'a', encoding='utf-8') as f:
          f.write('drei ☃\\n')
    `);
    expect(await one.run(`open('text', encoding='utf-8').read()`)).toBe('eins\nzwei\ndrei ☃\n');
  });

  test('binary data of some megabytes arrives whole, and in the middle', async () => {
    const sum = await one.run(`
      import hashlib, os
      data = os.urandom(3_000_001)
      with open('binary', 'wb') as f:
          f.write(data)
      hashlib.sha256(data).hexdigest()
    `);
    expect(await two.run(`import hashlib; hashlib.sha256(open('binary', 'rb').read()).hexdigest()`)).toBe(sum);
    await two.run(`
      with open('binary', 'r+b') as f:
          f.seek(1_500_000); f.write(b'middle'); f.truncate(2_000_000)
    `);
    expect(await one.run(`d = open('binary', 'rb').read(); [len(d), d[1_500_000:1_500_006].decode()]`)).toEqual([
      2_000_000,
      'middle',
    ]);
  });

  test('a change of a directory is seen at once: made, listed, renamed, linked, removed', async () => {
    const list = () => two.run(`sorted(os.listdir('dir'))`);
    await one.run(`os.makedirs('dir/sub'); open('dir/a', 'w').close()`);
    expect(await list()).toEqual(['a', 'sub']);
    expect(await two.run(`[os.path.isfile('dir/a'), os.path.isdir('dir/sub'), os.path.exists('dir/b')]`)).toEqual([
      ...[true, true, false],
    ]);
    await one.run(`os.rename('dir/a', 'dir/b'); os.symlink('b', 'dir/c')`);
    expect(await list()).toEqual(['b', 'c', 'sub']);
    expect(await two.run(`[os.path.exists('dir/a'), os.readlink('dir/c'), os.path.islink('dir/c')]`)).toEqual([
      ...[false, 'b', true],
    ]);
    await two.run(`os.remove('dir/b'); os.rmdir('dir/sub')`);
    expect(await one.run(`[os.path.exists('dir/b'), os.path.lexists('dir/c'), os.listdir('dir')]`)).toEqual([
      ...[false, true, ['c']],
    ]);
  });

  test('a name that one replaces with another kind of thing is that thing for the other', async () => {
    await one.run(`open('kind', 'w').close()`);
    expect(await two.run(`os.path.isfile('kind')`)).toBe(true);
    await one.run(`os.remove('kind'); os.mkdir('kind')`);
    expect(await two.run(`[os.path.isdir('kind'), os.path.isfile('kind')]`)).toEqual([true, false]);
  });

  test('an open file stays what it was when it is renamed, replaced or removed by the other', async () => {
    await one.run(`
      f = open('kept', 'w+')
      f.write('before '); f.flush()
    `);
    await two.run(`os.mkdir('away'); os.rename('kept', 'away/elsewhere'); open('kept', 'w').write('another')`);
    expect(await one.run(`f.write('after'); f.flush(); f.seek(0); f.read()`)).toBe('before after');
    expect(await two.run(`[open('away/elsewhere').read(), open('kept').read()]`)).toEqual(['before after', 'another']);
    await two.run(`os.remove('away/elsewhere')`);
    expect(await one.run(`f.seek(0); r = [f.read(), os.fstat(f.fileno()).st_nlink]; f.close(); r`)).toEqual([
      ...['before after', 0],
    ]);
  });

  test('attributes: mode, times, size, links, and the errors of what is not there', async () => {
    await one.run(`
      open('attr', 'w').write('12345'); os.chmod('attr', 0o640); os.utime('attr', (1_000_000, 2_000_000.5))
    `);
    expect(await two.run(`s = os.stat('attr'); [oct(s.st_mode), s.st_size, s.st_atime, s.st_mtime]`)).toEqual([
      ...['0o100640', 5, 1_000_000, 2_000_000.5],
    ]);
    const errors = `
      import errno
      def fails(call):
          try:
              call()
              return 'OK'
          except OSError as e:
              return errno.errorcode[e.errno]
      os.makedirs('full/of')
      [fails(lambda: open('nowhere')), fails(lambda: os.rmdir('full')), fails(lambda: os.mkdir('full')),
       fails(lambda: os.rmdir('attr')), fails(lambda: open('full', 'w')), fails(lambda: open('attr', 'x'))]
    `;
    expect(await two.run(errors)).toEqual(['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EISDIR', 'EEXIST']);
  });

  test('shutil copies a tree, moves it, and removes it', async () => {
    await one.run(`
      import shutil
      for d in range(5):
          os.makedirs(f'tree/{d}')
          for n in range(10):
              open(f'tree/{d}/{n}', 'w').write(f'{d}.{n}')
      shutil.copytree('tree', 'copy'); shutil.move('copy', 'moved')
    `);
    expect(
      await two.run(`
        [sum(len(files) for _, _, files in os.walk('moved')), open('moved/3/7').read(), os.path.exists('copy')]
      `),
    ).toEqual([50, '3.7', false]);
    await two.run(`import shutil; shutil.rmtree('tree'); shutil.rmtree('moved')`);
    expect(await one.run(`[os.path.exists('tree'), os.path.exists('moved')]`)).toEqual([false, false]);
  });

  test('zipfile: one packs, the other tests and unpacks', async () => {
    await one.run(`
      import zipfile
      with zipfile.ZipFile('pack.zip', 'w', zipfile.ZIP_DEFLATED) as z:
          for n in range(50):
              z.writestr(f'in/{n}.txt', str(n) * 1000)
    `);
    expect(
      await two.run(`
        import zipfile
        with zipfile.ZipFile('pack.zip') as z:
            bad = z.testzip(); z.extractall('unpacked')
        [str(bad), len(os.listdir('unpacked/in')), open('unpacked/in/42.txt').read() == '42' * 1000]
      `),
    ).toEqual(['None', 50, true]);
  });

  test('tempfile: names that nobody else has, files that go when they are closed', async () => {
    const make = (python: Python) =>
      python.run(`
        import tempfile
        os.makedirs('tmp', exist_ok=True)
        names = []
        for n in range(100):
            fd, name = tempfile.mkstemp(dir='/mnt/tmp'); os.write(fd, b'x'); os.close(fd); names.append(name)
            os.listdir('tmp')
        with tempfile.TemporaryFile(dir='/mnt/tmp') as f:
            f.write(b'gone'); f.seek(0); assert f.read() == b'gone'
        with tempfile.TemporaryDirectory(dir='/mnt/tmp') as d:
            open(d + '/in', 'w').close()
        names
      `);
    const names = (await Promise.all([make(one), make(two)])).flat();
    expect(new Set(names).size).toBe(200);
    expect(await one.run(`sorted('/mnt/tmp/' + n for n in os.listdir('tmp'))`)).toEqual([...names].sort());
  });
});
