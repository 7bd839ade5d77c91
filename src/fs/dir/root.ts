/** How the directory that is to be served is opened: the only path that is resolved as a whole. */
import { lstatSync, realpathSync } from 'node:fs';
import { ENOTDIR, errnoText } from '../../wire/errno.ts';
import { S_IFDIR, S_IFMT } from '../../wire/mode.ts';
import { type Anchor, BIGINT } from './anchor.ts';
import { LinuxAnchor, openRoot } from './anchor-linux.ts';
import { PathAnchor } from './anchor-path.ts';
import { type AtCalls, ProcfsCalls } from './at.ts';
import { errnoOf } from './errors.ts';
import { InodeTable, type TableHooks } from './inode-table.ts';
import { statOfNode } from './stat.ts';

interface Opened {
  readonly table: InodeTable;
  readonly anchor: Anchor;
}

/** How descriptors may be used, and how many of them. */
interface Descriptors {
  readonly limit: number;
  readonly total: number | undefined;
  /** Instead of paths through procfs. */
  readonly at: AtCalls | undefined;
}

export function openByDescriptor(path: string, hooks: TableHooks, { limit, total, at }: Descriptors): Opened {
  const procfs = new ProcfsCalls();
  const calls = at ?? procfs;
  const fd = orComplain(path, () => openRoot(calls, path));
  const table = new InodeTable(calls.stat(fd), hooks);
  return { table, anchor: new LinuxAnchor({ table, rootFd: fd, limit, total, calls, procfs }) };
}

export function openByPath(path: string, hooks: TableHooks): Opened {
  const real = orComplain(path, () => realpathSync.native(path));
  const stats = statOfNode(lstatSync(real, BIGINT));
  if ((stats.mode & S_IFMT) !== S_IFDIR) throw new Error(`cannot serve '${path}': ${errnoText(ENOTDIR)}`);
  const table = new InodeTable(stats, hooks);
  return { table, anchor: new PathAnchor(table, real, stats) };
}

function orComplain<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    throw new Error(`cannot serve '${path}': ${errnoText(errnoOf(error))}`, { cause: error });
  }
}
