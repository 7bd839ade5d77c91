/**
 * POSIX access control lists, as pure functions on their entries: the binary form of the extended attributes, what is
 * a list at all, how lists and mode bits follow each other, and whom they let in. All of it is what Linux does.
 * SPEC: acl(5); Linux, include/uapi/linux/posix_acl_xattr.h, fs/posix_acl.c (the function is named at each).
 */
import type { Attr, Caller } from '../host/inode.ts';
import { EINVAL, EOPNOTSUPP, type Errno } from '../wire/errno.ts';

/** `id` means something for users and groups that are named. */
export interface AclEntry {
  readonly tag: number;
  readonly perm: number;
  readonly id: number;
}

export type Acl = readonly AclEntry[];

/** An access list as it is kept: no list when the mode bits say the same. */
export interface ModeAndAcl {
  readonly mode: number;
  readonly acl: Acl | undefined;
}

export const ACL_USER_OBJ = 0x01;
export const ACL_USER = 0x02;
export const ACL_GROUP_OBJ = 0x04;
export const ACL_GROUP = 0x08;
export const ACL_MASK = 0x10;
export const ACL_OTHER = 0x20;
export const ACL_UNDEFINED_ID = 0xffff_ffff;

const VERSION = 2;
const HEADER_SIZE = 4;
const ENTRY_SIZE = 8;
const RWX = 7;
const PERMISSION_BITS = 0o777;
const TAGS: readonly number[] = [ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER];

/** Reads and checks a value; undefined = the empty list, which removes. SPEC: posix_acl_from_xattr. */
export function parseAcl(value: Uint8Array): Acl | undefined | Errno {
  if (value.length === 0) return undefined;
  if (value.length < HEADER_SIZE) return EINVAL;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(0, true) !== VERSION) return EOPNOTSUPP;
  if ((value.length - HEADER_SIZE) % ENTRY_SIZE !== 0) return EINVAL;
  if (value.length === HEADER_SIZE) return undefined;
  const acl: AclEntry[] = [];
  for (let at = HEADER_SIZE; at < value.length; at += ENTRY_SIZE) {
    const tag = view.getUint16(at, true);
    const isNamed = tag === ACL_USER || tag === ACL_GROUP;
    const id = isNamed ? view.getUint32(at + 4, true) : ACL_UNDEFINED_ID;
    acl.push({ tag, perm: view.getUint16(at + 2, true), id });
  }
  return isValidAcl(acl) ? acl : EINVAL;
}

export function encodeAcl(acl: Acl): Uint8Array {
  const value = new Uint8Array(HEADER_SIZE + acl.length * ENTRY_SIZE);
  const view = new DataView(value.buffer);
  view.setUint32(0, VERSION, true);
  acl.forEach(({ tag, perm, id }, i) => {
    const at = HEADER_SIZE + i * ENTRY_SIZE;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, perm, true);
    view.setUint32(at + 4, id, true);
  });
  return value;
}

/**
 * Tells whether the entries come in the order of their tags, the three of the mode once each, a mask at most once and
 * always beside names. The same name may come twice: the first one counts. SPEC: posix_acl_valid.
 */
export function isValidAcl(acl: Acl): boolean {
  let last = 0;
  for (const { tag, perm, id } of acl) {
    const isNamed = tag === ACL_USER || tag === ACL_GROUP;
    if (!TAGS.includes(tag) || tag < last || (tag === last && !isNamed)) return false;
    if ((perm & ~RWX) !== 0 || (isNamed && id === ACL_UNDEFINED_ID)) return false;
    last = tag;
  }
  const has = (wanted: number): boolean => acl.some(({ tag }) => tag === wanted);
  const isComplete = has(ACL_USER_OBJ) && has(ACL_GROUP_OBJ) && has(ACL_OTHER);
  return isComplete && (has(ACL_MASK) || !(has(ACL_USER) || has(ACL_GROUP)));
}

/** What an access list makes of the mode, and whether it says more. SPEC: posix_acl_equiv_mode. */
export function applyAccessAcl(mode: number, acl: Acl): ModeAndAcl {
  const group = permOf(acl, ACL_MASK) ?? permOf(acl, ACL_GROUP_OBJ) ?? 0;
  const bits = ((permOf(acl, ACL_USER_OBJ) ?? 0) << 6) | (group << 3) | (permOf(acl, ACL_OTHER) ?? 0);
  return { mode: (mode & ~PERMISSION_BITS) | bits, acl: isMoreThanMode(acl) ? acl : undefined };
}

/** The list after chmod(2): the group bits are the mask's, if there is one. SPEC: __posix_acl_chmod_masq. */
export function chmodAcl(acl: Acl, mode: number): Acl {
  const groupTag = groupClassOf(acl);
  return acl.map((entry) => {
    const bits = modeBitsOf(entry.tag, groupTag, mode);
    return bits === undefined ? entry : { ...entry, perm: bits };
  });
}

/**
 * The mode and the list of what is created with `mode` in a directory with this default list: nobody gets more than
 * both say, and there is no umask. SPEC: acl(5), OBJECT CREATION AND DEFAULT ACLs; posix_acl_create_masq.
 */
export function inheritedAcl(defaults: Acl, mode: number): ModeAndAcl {
  const groupTag = groupClassOf(defaults);
  const acl = defaults.map((entry) => {
    const bits = modeBitsOf(entry.tag, groupTag, mode);
    return bits === undefined ? entry : { ...entry, perm: entry.perm & bits };
  });
  return applyAccessAcl(mode, acl);
}

/**
 * Tells whether an object with these attributes and this access list lets the caller do all of `wanted` (R_OK, W_OK,
 * X_OK). Not asked for the superuser. A list whose mask lets nobody in is not looked at, as in Linux.
 * SPEC: acl(5), ACCESS CHECK ALGORITHM; acl_permission_check, posix_acl_permission.
 */
export function isAllowedByAcl(attr: Attr, acl: Acl, caller: Caller, wanted: number): boolean {
  const mask = permOf(acl, ACL_MASK) ?? RWX;
  const grants = (perm: number): boolean => (perm & wanted) === wanted;
  const user = acl.find(({ tag, id }) => tag === ACL_USER && id === caller.uid);
  if (caller.uid === attr.uid) return grants(permOf(acl, ACL_USER_OBJ) ?? 0);
  if (user !== undefined) return grants(user.perm & mask);
  const groups = acl.filter(({ tag, id }) => {
    if (tag !== ACL_GROUP_OBJ && tag !== ACL_GROUP) return false;
    const gid = tag === ACL_GROUP ? id : attr.gid;
    return caller.isIn(gid);
  });
  if (groups.length === 0) return grants(permOf(acl, ACL_OTHER) ?? 0);
  return groups.some(({ perm }) => grants(perm & mask));
}

function isMoreThanMode(acl: Acl): boolean {
  return acl.some(({ tag }) => tag === ACL_USER || tag === ACL_GROUP || tag === ACL_MASK);
}

function permOf(acl: Acl, wanted: number): number | undefined {
  return acl.find(({ tag }) => tag === wanted)?.perm;
}

/** Which entry the group bits of the mode stand for. */
function groupClassOf(acl: Acl): number {
  return permOf(acl, ACL_MASK) === undefined ? ACL_GROUP_OBJ : ACL_MASK;
}

/** The mode's bits for an entry; undefined if it has none of its own. */
function modeBitsOf(tag: number, groupTag: number, mode: number): number | undefined {
  if (tag === ACL_USER_OBJ) return (mode >> 6) & RWX;
  if (tag === groupTag) return (mode >> 3) & RWX;
  return tag === ACL_OTHER ? mode & RWX : undefined;
}
