import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Host } from '../../src/index.ts';
import { hasClient, Python } from './python.ts';

// The bundle, not the sources: a worker's file has to be JavaScript.
const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const isThere = hasClient('pyodide');

const HELPERS = `
import errno, fcntl, mmap, os, struct
def fails(call):
    try:
        call()
        return 'OK'
    except OSError as e:
        return errno.errorcode[e.errno]
`;

describe.skipIf(!isThere)('what Emscripten alone does not do (npm ci --prefix test/clients)', () => {
  let host: Host;
  let one: Python;
  let two: Python;

  beforeAll(async () => {
    host = await createHost({ cacheSize: 64 << 20, windowSize: 16 << 20, guests: 4, log: () => {} });
    [one, two] = await Promise.all([Python.start(host), Python.start(host)]);
    for (const python of [one, two]) await python.run(HELPERS);
  });

  afterAll(async () => {
    await Promise.all([one.stop(), two.stop()]);
    await host.terminate();
  });

  test('fcntl locks: ranges of bytes, shared and exclusive, told to who asks, gone with the descriptor', async () => {
    await one.run(`f = open('locked', 'w+b'); fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)`);
    expect(
      await two.run(`
        f = open('locked', 'r+b')
        lock = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 100, 0)
        kind, _, start, size, _ = struct.unpack('hhqqi4x', fcntl.fcntl(f, fcntl.F_GETLK, lock))
        [fails(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 14)),
         fails(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)), kind == fcntl.F_WRLCK, start, size]
      `),
    ).toEqual(['EAGAIN', 'OK', true, 5, 10]);
    const waiting = two.run(`fcntl.lockf(f, fcntl.LOCK_SH, 1, 6); 'has it'`);
    await one.run(`f.close()`);
    expect(await waiting).toBe('has it');
    await two.run(`f.close()`);
  });

  test('flock: of the open file, shared by many or one alone', async () => {
    await one.run(`f = open('flocked', 'w'); fcntl.flock(f, fcntl.LOCK_SH)`);
    expect(
      await two.run(`
        f = open('flocked')
        [fails(lambda: fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)),
         fails(lambda: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)), fails(lambda: fcntl.flock(f, fcntl.LOCK_UN))]
      `),
    ).toEqual(['OK', 'EAGAIN', 'OK']);
    const waiting = two.run(`fcntl.flock(f, fcntl.LOCK_EX); 'has it'`);
    await one.run(`fcntl.flock(f, fcntl.LOCK_UN); f.close()`);
    expect(await waiting).toBe('has it');
    await two.run(`f.close()`);
    expect(await one.run(`fails(lambda: fcntl.flock(open('/tmp/memfs', 'w'), fcntl.LOCK_EX))`)).toBe('OK');
  });

  test('two that count in one file under a lock lose no count', async () => {
    await one.run(`open('count', 'w').write('0')`);
    const count = (python: Python) =>
      python.run(`
        for n in range(200):
            with open('count', 'r+') as f:
                fcntl.lockf(f, fcntl.LOCK_EX)
                value = int(f.read()); f.seek(0); f.write(str(value + 1)); f.flush()
      `);
    await Promise.all([count(one), count(two)]);
    expect(await one.run(`int(open('count').read())`)).toBe(400);
  });

  test('appends of both are all there, each in one piece', async () => {
    const append = (python: Python, name: string) =>
      python.run(`
        with open('log', 'a') as f:
            for n in range(300):
                f.write(f'${name} {n}\\n'); f.flush()
      `);
    await Promise.all([append(one, 'one'), append(two, 'two')]);
    expect(
      await one.run(`
        lines = open('log').read().splitlines()
        [len(lines)] + [[l for l in lines if l.startswith(who)] == [f'{who} {n}' for n in range(300)]
                        for who in ('one', 'two')]
      `),
    ).toEqual([600, true, true]);
  });

  test('sqlite: two write in one database, with a rollback journal; nothing is lost, nothing is broken', async () => {
    await one.run(`
      import sqlite3
      db = sqlite3.connect('data.db', timeout=30)
      mode = db.execute('pragma journal_mode').fetchone()[0]
      db.execute('create table t (who text, n integer)'); db.execute('create table sum (n integer)')
      db.execute('insert into sum values (0)'); db.commit(); db.close()
    `);
    const write = (python: Python, name: string) =>
      python.run(`
        import sqlite3
        db = sqlite3.connect('data.db', timeout=30, isolation_level=None)
        for n in range(100):
            db.execute('begin immediate')
            db.execute('insert into t values (?, ?)', ('${name}', n))
            total = db.execute('select n from sum').fetchone()[0]
            db.execute('update sum set n = ?', (total + 1,))
            db.execute('commit')
        db.close()
      `);
    await Promise.all([write(one, 'one'), write(two, 'two')]);
    expect(
      await two.run(`
        db = sqlite3.connect('data.db')
        [db.execute('pragma integrity_check').fetchone()[0], db.execute('select n from sum').fetchone()[0],
         db.execute('select count(*), count(distinct who || n) from t').fetchone(), os.path.exists('data.db-journal')]
      `),
    ).toEqual(['ok', 200, [200, 200], false]);
    expect(await one.run('mode')).toBe('delete');
  });

  test('sqlite: who only reads is not let in while the other commits, and what is rolled back is gone', async () => {
    await one.run(`
      import sqlite3
      a = sqlite3.connect('two.db', isolation_level=None)
      a.execute('create table t (n)'); a.execute('insert into t values (1)')
      a.execute('begin exclusive'); a.execute('update t set n = 2'); None
    `);
    const locked = `
      import sqlite3
      b = sqlite3.connect('two.db', timeout=0)
      def read():
          try:
              return b.execute('select n from t').fetchone()[0]
          except sqlite3.OperationalError as e:
              return str(e)
      read()
    `;
    expect(await two.run(locked)).toBe('database is locked');
    await one.run(`a.execute('rollback'); None`);
    expect(await two.run('read()')).toBe(1);
    await one.run(`a.execute('update t set n = 3'); a.close()`);
    expect(await two.run(`r = read(); b.close(); r`)).toBe(3);
  });

  test('sqlite: the transaction of one that is killed is undone by the next', async () => {
    const victim = await Python.start(host);
    await victim.run(`
      import os, sqlite3
      db = sqlite3.connect('killed.db', isolation_level=None)
      db.execute('pragma cache_size = 2'); db.execute('create table t (n integer, fill text)')
      db.executemany('insert into t values (?, ?)', [(n, 'x' * 1000) for n in range(200)])
      db.execute('begin immediate'); db.execute('update t set n = n + 1000'); None
    `);
    // The pages that did not fit into its cache are in the file already.
    expect(await two.run(`[os.path.exists('killed.db-journal'), b'x' in open('killed.db', 'rb').read()]`)).toEqual([
      ...[true, true],
    ]);
    await victim.kill();
    expect(
      await two.run(`
        import sqlite3
        db = sqlite3.connect('killed.db', timeout=30)
        r = [*db.execute('select count(*), max(n) from t').fetchone(), *db.execute('pragma integrity_check').fetchone()]
        db.close(); r + [os.path.exists('killed.db-journal')]
      `),
    ).toEqual([200, 199, 'ok', false]);
  });

  test('mmap: stores reach the file at flush, and those of two at different places are both kept', async () => {
    await one.run(`open('mapped', 'wb').write(bytes(10_000))`);
    const map = `f = open('mapped', 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close()`;
    await Promise.all([one.run(map), two.run(map)]);
    await one.run(`m[0:3] = b'one'`);
    await two.run(`m[5000:5003] = b'two'`);
    await one.run(`m.flush()`);
    await two.run(`m.flush()`);
    expect(await two.run(`m[0:3].decode()`)).toBe('one');
    await one.run(`m.flush()`);
    expect(await one.run(`m[5000:5003].decode()`)).toBe('two');
    await one.run(`m[9997:] = b'end'; m.close()`);
    await two.run(`m.close()`);
    expect(
      await two.run(`d = open('mapped', 'rb').read(); [len(d), d[:3] + d[5000:5003] + d[-3:] == b'onetwoend']`),
    ).toEqual([...[10_000, true]]);
  });

  test('mmap: under a lock two that count in a mapping lose no count', async () => {
    await one.run(`open('counted', 'wb').write(bytes(4096))`);
    const count = (python: Python) =>
      python.run(`
        with open('counted', 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:
            for n in range(100):
                fcntl.lockf(f, fcntl.LOCK_EX)
                value, = struct.unpack_from('i', m, 64); struct.pack_into('i', m, 64, value + 1)
                fcntl.lockf(f, fcntl.LOCK_UN)
      `);
    await Promise.all([count(one), count(two)]);
    expect(await one.run(`struct.unpack_from('i', open('counted', 'rb').read(), 64)[0]`)).toBe(200);
  });

  test('mmap: a private mapping keeps its stores to itself; a read-only one refuses them', async () => {
    expect(
      await one.run(`
        open('private', 'wb').write(b'zeros')
        f = open('private', 'r+b')
        m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); m[0:5] = b'hides'; m.close()
        r = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); seen = r[:5]; r.close(); f.close()
        seen.decode()
      `),
    ).toBe('zeros');
  });

  test('fsync, fdatasync, dup, and a truncated file under a mapping', async () => {
    expect(
      await one.run(`
        fd = os.open('synced', os.O_RDWR | os.O_CREAT)
        copy = os.dup(fd); os.write(fd, b'12'); os.write(copy, b'34'); os.fsync(fd); os.fdatasync(copy)
        os.close(fd); os.lseek(copy, 0, 0); data = os.read(copy, 10)
        m = mmap.mmap(copy, 4); m[0:4] = b'abcd'; os.close(copy)
        os.truncate('synced', 2); m.flush(); m.close()
        directory = os.open('.', os.O_RDONLY); os.fsync(directory); os.close(directory)
        [data.decode(), open('synced').read()]
      `),
    ).toEqual(['1234', 'ab']);
  });
});
