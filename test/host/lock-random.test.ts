/** The lock table against a model of bytes: every answer, every late answer and their order, after every step. */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { type Call, PENDING } from '../../src/host/call.ts';
import type { Inode } from '../../src/host/inode.ts';
import { LockClient, LockRequest } from '../../src/host/lock-client.ts';
import { RANGE_END } from '../../src/host/lock-ranges.ts';
import { LockTable } from '../../src/host/lock-table.ts';
import { EDEADLK, type Errno, OK } from '../../src/wire/errno.ts';
import { InHeader } from '../../src/wire/fuse.ts';
import { F_UNLCK } from '../../src/wire/mode.ts';
import { type Ask, LAST, LockModel } from './lock-model.ts';

const FILES = 2;
const OWNERS = 5;
/** Owners 0 … 2 are one client, 3 and 4 another; owner numbers are the same in both. */
const CLIENT_OF = [0, 0, 0, 1, 1];
const STEPS = 2000;
const SEEDS = Array.from({ length: 25 }, (_, i) => i + 1);

class Real {
  readonly table = new LockTable();
  readonly clients = [new LockClient(), new LockClient()] as const;
  readonly answers: [id: number, errno: number][] = [];
  readonly #inodes = Array.from({ length: FILES }, () => ({}) as Inode);

  clientOf(owner: number): LockClient {
    return this.clients[CLIENT_OF[owner] as 0 | 1];
  }

  request(ask: Ask): LockRequest {
    const request = new LockRequest();
    request.ownerLow = 100 + (ask.owner % 3);
    request.ownerHigh = ask.isFlock ? 7 : 0;
    request.pid = ask.owner;
    request.isFlock = ask.isFlock;
    request.type = ask.type;
    request.start = ask.isFlock ? 0 : ask.from;
    request.end = ask.to === LAST ? RANGE_END : ask.to;
    return request;
  }

  inode(file: number): Inode {
    return this.#inodes[file] as Inode;
  }

  call(id: number): Call {
    const request = new DataView(new ArrayBuffer(40));
    InHeader.unique.setWords(request, 0, id, 0);
    const complete = (errno: Errno) => void this.answers.push([id, errno]);
    return { request, defer: () => ({ complete }) } as unknown as Call;
  }
}

test.each(SEEDS)(`seed %i, ${STEPS} steps`, (seed) => {
  const random = new Prng(seed);
  const real = new Real();
  const model = new LockModel(FILES, OWNERS);
  const check = (step: number, what: string): void => {
    expect(real.answers, `seed ${seed}, step ${step}: late answers after ${what}`).toEqual(model.answers);
    real.answers.length = 0;
    model.answers.length = 0;
    real.table.checkInvariants();
  };
  const seen = new Map<number, number>();
  for (let step = 1; step <= STEPS; step++) {
    const owner = random.below(OWNERS);
    const isFlock = random.below(4) === 0;
    const [one, two] = [random.below(LAST + 1), random.below(LAST + 1)];
    const [from, to] = isFlock ? [0, LAST] : [Math.min(one, two), random.below(6) === 0 ? LAST : Math.max(one, two)];
    const ask: Ask = { file: random.below(FILES), owner, isFlock, type: random.below(3), from, to };
    const client = real.clientOf(owner);
    const request = real.request(ask);
    const inode = real.inode(ask.file);
    const kind = random.below(100);
    let what = JSON.stringify(ask);
    if (kind < 40) {
      what = `wait ${what}`;
      const errno = real.table.setOrWait(client, inode, request, real.call(step));
      expect(errno, `seed ${seed}, step ${step}: ${what}`).toBe(model.wait(ask, step));
      seen.set(errno, (seen.get(errno) ?? 0) + 1);
    } else if (kind < 80) {
      what = `set ${what}`;
      expect(real.table.set(client, inode, request), `seed ${seed}, step ${step}: ${what}`).toBe(model.set(ask));
    } else if (kind < 90 && !isFlock && ask.type !== F_UNLCK) {
      what = `test ${what}`;
      const may = model.inTheWay(ask);
      real.table.test(client, inode, request);
      const { type, start, end } = request;
      const found = { type, from: start, to: end === RANGE_END ? LAST : end };
      if (may.length === 0) expect(type, `seed ${seed}, step ${step}: ${what}`).toBe(F_UNLCK);
      else expect(may, `seed ${seed}, step ${step}: ${what}`).toContainEqual(found);
    } else if (kind < 95) {
      what = `flush ${what}`;
      real.table.releaseOwner(client, inode, request.ownerLow, 0);
      model.flush(ask.file, owner);
    } else if (kind < 99) {
      const id = model.waiting[random.below(model.waiting.length + 1)]?.id ?? step;
      what = `interrupt ${id}`;
      for (const each of real.clients) real.table.interrupt(each, id, 0);
      model.interrupt(id);
    } else {
      what = `end of the client of ${owner}`;
      real.table.clear(client);
      model.end(CLIENT_OF.flatMap((of, index) => (of === CLIENT_OF[owner] ? [index] : [])));
      // Who goes first when a whole client ends is nobody's business.
      real.answers.sort(byId);
      model.answers.sort(byId);
    }
    check(step, what);
  }
  for (const errno of [OK, PENDING, EDEADLK]) expect(seen.get(errno), `${errno} hardly happened`).toBeGreaterThan(10);
  for (const client of real.clients) real.table.clear(client);
  expect(real.table.size).toBe(0);
});

function byId(a: readonly [number, number], b: readonly [number, number]): number {
  return a[0] - b[0];
}
