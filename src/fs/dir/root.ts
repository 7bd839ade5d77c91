/** Opens the served directory, in one of the two ways in which its objects are reached again. */
import { fstatSync, lstatSync, realpathSync } from 'node:fs';
import { ENOTDIR, errnoText } from '../../wire/errno.ts';
import { type Anchor, BIGINT } from './anchor.ts';
import { LinuxAnchor, openRoot } from './anchor-linux.ts';
import { PathAnchor } from './anchor-path.ts';
import { errnoOf } from './errors.ts';
import { InodeTable, type TableHooks } from './inode-table.ts';

interface Opened {
  readonly table: InodeTable;
  readonly anchor: Anchor;
}

export function openByDescriptor(path: string, hooks: TableHooks, limit: number): Opened {
  const fd = orComplain(path, () => openRoot(path));
  const table = new InodeTable(fstatSync(fd, BIGINT), hooks);
  return { table, anchor: new LinuxAnchor(table, fd, limit) };
}

export function openByPath(path: string, hooks: TableHooks): Opened {
  const real = orComplain(path, () => realpathSync.native(path));
  const stats = lstatSync(real, BIGINT);
  if (!stats.isDirectory()) throw new Error(`cannot serve '${path}': ${errnoText(ENOTDIR)}`);
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
