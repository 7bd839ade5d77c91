/** Which field carries which set of flags: for traces and docs/wire.md. */
import * as flags from './flags.ts';
import { FALLOC_FLAGS, OPEN_FLAGS, RENAME_FLAGS, XATTR_FLAGS } from './mode.ts';
import { INIT_BITS, MAP_FLAGS, MAP_OUT_FLAGS, UNMAP_FLAGS } from './private.ts';

/** Name → bits. No two names of a set share a bit. */
export type FlagSet = Readonly<Record<string, number>>;

const INIT_NAMES = Object.entries(INIT_BITS);

/** The INIT flags of the first word, as bits. */
export const INIT_FLAGS: FlagSet = Object.fromEntries(
  INIT_NAMES.filter(([, bit]) => bit < 32).map(([name, bit]) => [name, (1 << bit) >>> 0]),
);
/** The INIT flags of `flags2`, as bits of that word. */
export const INIT_FLAGS2: FlagSet = Object.fromEntries(
  INIT_NAMES.filter(([, bit]) => bit >= 32).map(([name, bit]) => [name, (1 << (bit - 32)) >>> 0]),
);

/** By `struct.field`. Fields with open flags (O_*) hold the access mode in their low two bits besides. */
export const FLAG_FIELDS: Readonly<Record<string, FlagSet>> = {
  'fuse_attr.flags': flags.FUSE_ATTR_FLAGS,
  'fuse_getattr_in.getattr_flags': flags.GETATTR_FLAGS,
  'fuse_statx_in.getattr_flags': flags.GETATTR_FLAGS,
  'fuse_rename2_in.flags': RENAME_FLAGS,
  'fuse_setattr_in.valid': flags.FATTR_FLAGS,
  'fuse_open_in.flags': OPEN_FLAGS,
  'fuse_open_in.open_flags': flags.OPEN_IN_FLAGS,
  'fuse_create_in.flags': OPEN_FLAGS,
  'fuse_create_in.open_flags': flags.OPEN_IN_FLAGS,
  'fuse_open_out.open_flags': flags.FOPEN_FLAGS,
  'fuse_release_in.flags': OPEN_FLAGS,
  'fuse_release_in.release_flags': flags.RELEASE_FLAGS,
  'fuse_read_in.read_flags': flags.READ_FLAGS,
  'fuse_read_in.flags': OPEN_FLAGS,
  'fuse_write_in.write_flags': flags.WRITE_FLAGS,
  'fuse_write_in.flags': OPEN_FLAGS,
  'fuse_fsync_in.fsync_flags': flags.FSYNC_FLAGS,
  'fuse_setxattr_in.flags': XATTR_FLAGS,
  'fuse_setxattr_in.setxattr_flags': flags.SETXATTR_FLAGS,
  'fuse_lk_in.lk_flags': flags.LK_FLAGS,
  'fuse_init_in.flags': INIT_FLAGS,
  'fuse_init_in.flags2': INIT_FLAGS2,
  'fuse_init_out.flags': INIT_FLAGS,
  'fuse_init_out.flags2': INIT_FLAGS2,
  'cuse_init_in.flags': flags.CUSE_FLAGS,
  'cuse_init_out.flags': flags.CUSE_FLAGS,
  'fuse_ioctl_in.flags': flags.IOCTL_FLAGS,
  'fuse_ioctl_out.flags': flags.IOCTL_FLAGS,
  'fuse_poll_in.flags': flags.POLL_FLAGS,
  'fuse_fallocate_in.mode': FALLOC_FLAGS,
  'fuse_setupmapping_in.flags': flags.SETUPMAPPING_FLAGS,
  'fuse_notify_inval_entry_out.flags': flags.INVAL_ENTRY_FLAGS,
  'virtiofs_map_in.flags': MAP_FLAGS,
  'virtiofs_map_out.flags': MAP_OUT_FLAGS,
  'virtiofs_unmap_one.flags': UNMAP_FLAGS,
};

const ACCESS_MODES = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE'];

/** Writes `value` as names joined by `|`, without the prefix FUSE_; bits without a name follow in hexadecimal. */
export function formatFlags(set: FlagSet, value: number): string {
  const names: string[] = [];
  let rest = value;
  if (set === OPEN_FLAGS) {
    names.push(ACCESS_MODES[rest & 3] as string);
    rest &= ~3;
  }
  for (const [name, bits] of Object.entries(set)) {
    if ((rest & bits) === 0) continue;
    names.push(name.replace(/^FUSE_(SETUPMAPPING_FLAG_)?/, ''));
    rest &= ~bits;
  }
  if (rest !== 0) names.push(`0x${(rest >>> 0).toString(16)}`);
  return names.length === 0 ? '0' : names.join('|');
}
