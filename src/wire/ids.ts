/** The identities of the protocol, branded so that one cannot be passed for another. */
import type { Brand } from '../base/brand.ts';

/** Names an inode between the two ends. 1 is the root; numbers are never used twice during a host's life. */
export type NodeId = Brand<number, 'NodeId'>;
/** Names an open file or directory on the host. */
export type Fh = Brand<number, 'Fh'>;

export const FUSE_ROOT_ID = 1 as NodeId;
export const FUSE_KERNEL_VERSION = 7;
export const FUSE_KERNEL_MINOR_VERSION = 45;
export const IN_HEADER_SIZE = 40;
export const OUT_HEADER_SIZE = 16;
export const NAME_MAX = 255;
/** Longest symlink target, without the NUL. SPEC: limits.h, PATH_MAX counts the NUL. */
export const SYMLINK_MAX = 4095;
