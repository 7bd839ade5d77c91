/**
 * What work costs, in counts that do not depend on the machine: FUSE requests, kicks, page faults, bytes copied, for
 * some workloads. A change that makes one chattier changes test/golden/costs.txt, in a commit that says why.
 */
import { expect, test } from 'vitest';
import { ManualClock } from '../src/base/clock.ts';
import type { Guest } from '../src/guest/guest.ts';
import { createInline } from '../src/worker/inline.ts';

const MIB = 1 << 20;

/** What is done before the counting, and what is counted. */
interface Workload {
  readonly name: string;
  readonly before?: (guest: Guest) => void;
  readonly run: (guest: Guest) => void;
  readonly dax?: 'always' | 'never';
}

const WORKLOADS: readonly Workload[] = [
  { name: 'stat, cached', before: known, run: (g) => void g.stat('/f') },
  { name: 'stat, four names deep, cold', before: deep, run: (g) => void g.stat('/a/b/c/f') },
  { name: 'write a new file of 10 bytes', run: (g) => g.writeFile('/f', '0123456789') },
  { name: 'read a file of 10 bytes', before: small, run: (g) => void g.readFile('/f') },
  { name: 'read a file of 10 bytes, without DAX', before: small, run: (g) => void g.readFile('/f'), dax: 'never' },
  { name: 'read 8 MiB in order', before: large, run: (g) => void g.readFile('/f') },
  { name: 'read 8 MiB in order, without DAX', before: large, run: (g) => void g.readFile('/f'), dax: 'never' },
  { name: 'read 8 MiB twice', before: large, run: (g) => void [g.readFile('/f'), g.readFile('/f')] },
  { name: 'overwrite 8 MiB in place', before: large, run: overwrite },
  { name: 'scan 40 MiB through a window of 16 MiB', before: huge, run: (g) => void g.readFile('/f') },
  { name: 'store one word in 100 pages of a hole', before: hole, run: stores },
  { name: 'map what another guest wrote, and load a word of each page', before: mebibyte, run: loads },
  { name: 'list 1,000 names', before: many, run: (g) => void g.readdir('/d') },
  { name: 'create and unlink 100 files', run: createUnlink },
  { name: 'append 100 records', run: append },
  { name: 'rename over an existing file', before: small, run: replace },
  { name: 'mkdir -p of five levels', run: (g) => g.mkdir('/a/b/c/d/e', { recursive: true }) },
];

test('requests, kicks, faults and bytes copied of each workload are what they were', async () => {
  const lines = [];
  for (const workload of WORKLOADS) lines.push(await cost(workload));
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('golden/costs.txt');
});

async function cost(workload: Workload): Promise<string> {
  using host = await createInline({
    clock: new ManualClock(),
    cacheSize: 64 * MIB,
    windowSize: 16 * MIB,
    guests: 2,
    attrTimeoutMs: 1000,
    entryTimeoutMs: 1000,
  });
  const first = host.mount();
  workload.before?.(first);
  const isCached = workload.name.includes('cached');
  if (!isCached) first.unmount();
  const connection = isCached ? undefined : host.mount(workload.dax === undefined ? {} : { dax: workload.dax });
  const guest = connection ?? first;
  const channel = guest.mount.channel as unknown as { counts: { kicks: number } };
  const before = guest.stats;
  const kicks = channel.counts.kicks;
  workload.run(guest);
  const after = guest.stats;
  const requests = Object.entries(after.requests)
    .map(([name, count]) => [name, count - (before.requests[name as keyof typeof before.requests] ?? 0)] as const)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name}=${count}`);
  const { bytes } = after;
  const copied = bytes.readDax + bytes.writtenDax + 2 * (bytes.readFuse + bytes.writtenFuse) - copiedBefore(before);
  return [
    workload.name,
    `  requests ${after.requestCount - before.requestCount}: ${requests.join(' ')}`,
    `  kicks ${channel.counts.kicks - kicks}, faults ${after.faults - before.faults}, bytes copied ${copied}`,
  ].join('\n');
}

function mebibyte(guest: Guest): void {
  guest.writeFile('/f', new Uint8Array(MIB));
}

function loads(guest: Guest): void {
  using file = guest.open('/f');
  using mapping = file.mmap();
  for (let at = 0; at < MIB; at += 4096) mapping.loadU32(at);
}

function copiedBefore({ bytes }: Guest['stats']): number {
  return bytes.readDax + bytes.writtenDax + 2 * (bytes.readFuse + bytes.writtenFuse);
}

function known(guest: Guest): void {
  guest.writeFile('/f', 'x');
  guest.stat('/f');
}

function replace(guest: Guest): void {
  guest.writeFile('/g', 'y');
  guest.rename('/g', '/f');
}

function deep(guest: Guest): void {
  guest.mkdir('/a/b/c', { recursive: true });
  guest.writeFile('/a/b/c/f', 'x');
}

function small(guest: Guest): void {
  guest.writeFile('/f', '0123456789');
}

function large(guest: Guest): void {
  guest.writeFile('/f', new Uint8Array(8 * MIB).fill(1));
}

function huge(guest: Guest): void {
  guest.writeFile('/f', new Uint8Array(40 * MIB).fill(1));
}

function hole(guest: Guest): void {
  using file = guest.open('/f', 'w');
  file.truncate(2 * MIB);
}

function many(guest: Guest): void {
  guest.mkdir('/d');
  for (let i = 0; i < 1000; i++) guest.writeFile(`/d/${i}`, '');
}

function overwrite(guest: Guest): void {
  using file = guest.open('/f', 'r+');
  file.writeAll(new Uint8Array(8 * MIB));
}

function stores(guest: Guest): void {
  using file = guest.open('/f', 'r+');
  using map = file.mmap({ length: 2 * MIB, writable: true });
  for (let page = 0; page < 100; page++) map.storeU32(page * 4096 * 5, page);
}

function createUnlink(guest: Guest): void {
  for (let i = 0; i < 100; i++) {
    guest.open(`/${i}`, 'w').close();
    guest.unlink(`/${i}`);
  }
}

function append(guest: Guest): void {
  using file = guest.open('/log', 'a');
  for (let i = 0; i < 100; i++) file.writeAll(new Uint8Array(32));
}
