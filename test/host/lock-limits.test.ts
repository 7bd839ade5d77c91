import { expect, test } from 'vitest';
import type { Call } from '../../src/host/call.ts';
import type { Inode } from '../../src/host/inode.ts';
import { LockClient, LockRequest } from '../../src/host/lock-client.ts';
import { RANGE_END } from '../../src/host/lock-ranges.ts';
import { LOCKS_MAX, LockTable } from '../../src/host/lock-table.ts';
import { ENOLCK, OK } from '../../src/wire/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../../src/wire/mode.ts';

const inode = {} as Inode;

function ask(type: number, start: number, end: number, owner = 1, isFlock = false): LockRequest {
  return Object.assign(new LockRequest(), { type, start, end, ownerLow: owner, isFlock });
}

test('a client that has as many ranges as it may gets ENOLCK for more, and for what would split one', () => {
  const table = new LockTable(3);
  const [client, other] = [new LockClient(), new LockClient()];
  for (const at of [0, 10, 20]) expect(table.set(client, inode, ask(F_WRLCK, at, at + 5))).toBe(OK);
  expect(table.set(client, inode, ask(F_WRLCK, 30, 30))).toBe(ENOLCK);
  expect(table.set(client, inode, ask(F_UNLCK, 2, 2))).toBe(ENOLCK);
  expect(table.set(client, inode, ask(F_WRLCK, 2, 2))).toBe(OK);
  expect(table.set(client, inode, ask(F_RDLCK, 0, RANGE_END, 2, true))).toBe(ENOLCK);
  expect(table.set(other, inode, ask(F_WRLCK, 40, 50))).toBe(OK);
  expect(table.set(client, inode, ask(F_UNLCK, 0, 5))).toBe(OK);
  expect(table.set(client, inode, ask(F_WRLCK, 30, 30))).toBe(OK);
  table.checkInvariants();
});

test('who waits counts too', () => {
  const table = new LockTable(1);
  const [client, other] = [new LockClient(), new LockClient()];
  const call = {
    request: new DataView(new ArrayBuffer(40)),
    defer: () => ({ complete: () => {} }),
  } as unknown as Call;
  table.set(other, inode, ask(F_WRLCK, 0, 0));
  table.setOrWait(client, inode, ask(F_WRLCK, 0, 0), call);
  expect(table.setOrWait(client, inode, ask(F_WRLCK, 0, 0), call)).toBe(ENOLCK);
  table.clear(other);
  expect(client.count).toBe(1);
  table.checkInvariants();
});

test('a full table of one owner in one file is filled and emptied in no time', () => {
  const table = new LockTable();
  const client = new LockClient();
  for (let i = 0; i < LOCKS_MAX; i++) expect(table.set(client, inode, ask(F_WRLCK, 2 * i, 2 * i))).toBe(OK);
  expect(table.set(client, inode, ask(F_WRLCK, 2 * LOCKS_MAX, 2 * LOCKS_MAX))).toBe(ENOLCK);
  expect(table.set(client, inode, ask(F_UNLCK, 0, RANGE_END))).toBe(OK);
  expect([client.count, table.size]).toEqual([0, 0]);
});
