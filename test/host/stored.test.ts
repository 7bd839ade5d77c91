/** What a guest stored through its window is told to others when the mapping goes, whatever takes it away. */
import { expect, test } from 'vitest';
import type { Allocation } from '../../src/guest/options.ts';
import type { NotifyTarget } from '../../src/host/notify.ts';
import { createInline } from '../../src/worker/inline.ts';

const RANGE = 2 << 20;
const KINDS: readonly Allocation[] = ['client', 'server', 'combined'];

test.each(KINDS)('a range that is taken for another file, allocation by %s', async (allocation) => {
  const host = await createInline({ windowSize: 2 * RANGE, cacheSize: 16 << 20, guests: 2 });
  const guest = host.mount({ allocation });
  const other = host.mount();
  const file = guest.open('/a', 'w+');
  file.truncate(RANGE);
  for (const name of ['/b', '/c', '/d']) guest.writeFile(name, 'x');
  other.stat('/a');
  file.write(Uint8Array.of(1), 0, 1, 5);
  const session = [...host.core.server.sessions].at(-1);
  const heard: string[] = [];
  const target: NotifyTarget = {
    session,
    tellInode: (_, pos, size) => heard.push(`${pos}+${size}`),
    tellEntry: () => {},
    tellDelete: () => {},
    whenHeard: (done) => done(),
  };
  host.core.server.announcer.add(target);
  for (const name of ['/b', '/c', '/d']) guest.readFile(name);
  expect(heard).toEqual(['0+0']);
  // What was only read is nobody's business.
  for (const name of ['/b', '/c', '/d']) guest.readFile(name);
  expect(heard).toEqual(['0+0']);
  host.core.server.announcer.remove(target);
  guest.unmount();
  other.unmount();
  host.stop();
});
