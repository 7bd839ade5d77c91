/** One SETUPMAPPING and one REMOVEMAPPING of a 2 MiB range, against a GETATTR over the same queue. */
import { bytesOfText } from '../src/base/bytes.ts';
import { DaxRequests } from '../src/guest/request-dax.ts';
import { createHost } from '../src/worker/host.ts';
import { mount } from '../src/worker/mount.ts';
import { measure, nsPerOp, type Row } from './harness.ts';

const RANGE = 2 << 20;
const COUNT = 3000;

export async function window(): Promise<Row[]> {
  const host = await createHost({
    fs: 'memory',
    cacheSize: 128 << 20,
    windowSize: 16 << 20,
    guests: 2,
    attrTimeoutMs: 0,
  });
  const guest = mount(host.attach(), { spins: 100_000 });
  const rows: Row[] = [];
  try {
    const contents: readonly [string, number][] = [
      ['a hole of 2 MiB', 0],
      ['512 resident pages', RANGE],
    ];
    for (const [label, resident] of contents) {
      using file = guest.open('/file', 'w+');
      file.truncate(RANGE);
      if (resident > 0) file.writeAll(new Uint8Array(resident).fill(1));
      const { namei, inodes, session } = guest.mount;
      namei.resolve(inodes.root, bytesOfText('/file'), true);
      const { nodeid } = namei.inode;
      const requests = new DaxRequests(session);
      rows.push(
        measure({
          bench: 'window',
          case: `SETUPMAPPING + REMOVEMAPPING, ${label}`,
          reference: 'uncached GETATTR',
          goal: 1 / 3,
          rounds: 15,
          ours: () =>
            nsPerOp(COUNT, () => {
              requests.setup(nodeid, 0, RANGE, 0, true);
              requests.beginRemove(nodeid);
              requests.addRemoval(0, RANGE);
              requests.remove();
            }),
          theirs: () => nsPerOp(COUNT, () => void file.stat()),
        }),
      );
    }
  } finally {
    guest.unmount();
    await host.stop();
  }
  return rows;
}
