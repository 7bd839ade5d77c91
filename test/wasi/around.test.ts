/** What is around the files: streams, arguments, time, and what is not there. */
import { expect, test } from 'vitest';
import { Bench, FREE } from './bench.ts';

const BADF = 8;
const INVAL = 28;
const NOSYS = 52;
const NOTDIR = 54;
const NOTSOCK = 57;
const SPIPE = 70;
const CREAT = 1;

test('streams are read and written, have no position, and are no files', () => {
  const written: string[] = [];
  const bench = new Bench({
    stdin: { read: (into) => Math.min(into.length, into.fill(65).length, 5), isTerminal: true },
    stdout: { write: (from) => written.push(new TextDecoder().decode(from.slice())) && from.length },
    stderr: { write: () => -32 },
  });
  const { calls } = bench;
  expect(calls.fd_read(0, ...bench.iovs([FREE, 3], [FREE + 3, 100], [FREE + 200, 9]), bench.result)).toBe(0);
  expect([bench.result32(), bench.text(FREE, 8)]).toEqual([8, 'AAAAAAAA']);
  expect(bench.write(1, 'hello')).toBe(0);
  expect(bench.write(2, 'hello')).toBe(64);
  expect(calls.fd_write(1, ...bench.iovs([FREE, 2], [FREE + 2, 3]), bench.result)).toBe(0);
  expect([written, bench.result32()]).toEqual([['hello', 'hello'], 5]);
  expect(calls.fd_seek(1, 0n, 1, bench.result)).toBe(SPIPE);
  expect(calls.fd_tell(0, bench.result)).toBe(SPIPE);
  expect(calls.fd_pread(0, ...bench.iovs([FREE, 3]), 0n, bench.result)).toBe(SPIPE);
  expect(calls.fd_filestat_get(0, bench.at(FREE))).toBe(0);
  expect(bench.view.getUint8(FREE + 16)).toBe(2);
  expect(calls.path_create_directory(1, ...bench.path('x'))).toBe(NOTDIR);
  expect(calls.fd_readdir(1, bench.at(FREE), 100, 0n, bench.result)).toBe(NOTDIR);
  expect(calls.fd_close(0)).toBe(0);
  expect(calls.fd_close(0)).toBe(BADF);
  bench.end();
});

test('arguments and environment, sockets and signals that are not there, chance as it is given', () => {
  const random = (into: Uint8Array) => void into.fill(7);
  const bench = new Bench({ args: ['prog', 'ä b'], env: { A: '1', PATH: '/bin' }, random });
  const { calls } = bench;
  expect(calls.args_sizes_get(bench.at(FREE), bench.at(FREE + 4))).toBe(0);
  expect([bench.view.getUint32(FREE, true), bench.view.getUint32(FREE + 4, true)]).toEqual([2, 10]);
  expect(calls.args_get(bench.at(FREE), bench.at(FREE + 100))).toBe(0);
  expect(bench.text(FREE + 100, 10)).toBe('prog\0ä b\0');
  expect(bench.view.getUint32(FREE + 4, true)).toBe(bench.at(FREE + 105));
  expect(calls.environ_get(bench.at(FREE), bench.at(FREE + 100))).toBe(0);
  expect(bench.text(FREE + 100, 14)).toBe('A=1\0PATH=/bin\0');
  const fd = bench.open('f', CREAT);
  expect([calls.sock_shutdown(fd, 3), calls.sock_accept(fd, 0, 0), calls.sock_recv(3)]).toEqual([
    NOTSOCK,
    NOTSOCK,
    NOTSOCK,
  ]);
  expect([calls.sock_send(1), calls.sock_send(77)]).toEqual([NOTSOCK, BADF]);
  expect([calls.proc_raise(6), calls.sched_yield()]).toEqual([NOSYS, 0]);
  expect(calls.random_get(bench.at(FREE), 70_000)).toBe(0);
  expect(bench.bytes.slice(FREE, FREE + 70_001).lastIndexOf(7)).toBe(69_999);
  for (const env of [{ 'A=B': '' }, { '': 'x' }, { A: '\0' }]) expect(() => new Bench({ env })).toThrow(TypeError);
  bench.end();
});

test('poll: clocks by the one that comes first, files at once', () => {
  const bench = new Bench();
  const { calls, world } = bench;
  const fd = bench.open('f', CREAT);
  bench.write(fd, 'hello');
  calls.fd_seek(fd, 2n, 0, bench.result);
  const subscribe = (i: number, type: number, what: number, timeout = 0n, flags = 0) => {
    const at = FREE + i * 48;
    bench.bytes.fill(0, at, at + 48);
    bench.view.setBigUint64(at, BigInt(100 + i), true);
    bench.view.setUint8(at + 8, type);
    bench.view.setUint32(at + 16, what, true);
    bench.view.setBigUint64(at + 24, timeout, true);
    bench.view.setUint16(at + 40, flags, true);
  };
  const poll = (count: number) => {
    expect(calls.poll_oneoff(bench.at(FREE), bench.at(FREE + 4096), count, bench.result)).toBe(0);
    return Array.from({ length: bench.result32() }, (_, i) => {
      const at = FREE + 4096 + i * 32;
      const { view } = bench;
      return [
        Number(view.getBigUint64(at, true)),
        view.getUint16(at + 8, true),
        view.getUint8(at + 10),
        Number(view.getBigUint64(at + 16, true)),
      ];
    });
  };
  const start = world.clock.monotonicMs();
  subscribe(0, 0, 1, 50_000_000n);
  subscribe(1, 0, 1, 20_000_000n);
  expect(poll(2)).toEqual([[101, 0, 0, 0]]);
  expect(world.clock.monotonicMs() - start).toBe(20);
  subscribe(0, 0, 0, 1n, 1);
  expect(poll(1)).toEqual([[100, 0, 0, 0]]);
  expect(world.clock.monotonicMs() - start).toBe(20);
  subscribe(0, 0, 1, 1_000_000_000n);
  subscribe(1, 1, fd);
  subscribe(2, 2, fd);
  subscribe(3, 1, 99);
  subscribe(4, 0, 9);
  expect(poll(5)).toEqual([
    [101, 0, 1, 3],
    [102, 0, 2, 1],
    [103, BADF, 1, 0],
    [104, INVAL, 0, 0],
  ]);
  expect(world.clock.monotonicMs() - start).toBe(20);
  subscribe(0, 7, 0);
  expect(calls.poll_oneoff(bench.at(FREE), bench.at(FREE + 4096), 1, bench.result)).toBe(INVAL);
  bench.end();
});
