/** What `-o` may say at a mount. Plain data: it travels to the worker. */

export interface KernelMountOptions {
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  /** The kernel checks modes and owners itself before it asks us. */
  readonly defaultPermissions: boolean;
  /** The kernel keeps locks to itself, and does not tell us of each close: only with a host of its own. */
  readonly localLocks: boolean;
  /** A directory uses the optional package of system calls, if it is installed. */
  readonly native: boolean;
  /** The kernel gathers small writes. */
  readonly writebackCache: boolean;
  readonly attrTimeoutMs: number;
  readonly entryTimeoutMs: number;
  readonly negativeTimeoutMs: number;
  readonly maxRead: number | undefined;
  /** The root directory of a memory file system. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly mode: number | undefined;
  /** The size of a memory file system, as SPEC would say it. */
  readonly size: string | undefined;
  /** What mount(8) turns into flags of mount(2). */
  readonly flags: readonly string[];
}

const MOUNT_DEFAULTS: KernelMountOptions = {
  readOnly: false,
  allowOther: false,
  defaultPermissions: true,
  localLocks: false,
  native: true,
  writebackCache: false,
  attrTimeoutMs: 1000,
  entryTimeoutMs: 1000,
  negativeTimeoutMs: 0,
  maxRead: undefined,
  uid: undefined,
  gid: undefined,
  mode: undefined,
  size: undefined,
  flags: [],
};

type Draft = { -readonly [K in keyof KernelMountOptions]: KernelMountOptions[K] };

const SWITCHES: Readonly<Record<string, (draft: Draft) => void>> = {
  ro: (draft) => {
    draft.readOnly = true;
  },
  rw: (draft) => {
    draft.readOnly = false;
  },
  allow_other: (draft) => {
    draft.allowOther = true;
  },
  default_permissions: (draft) => {
    draft.defaultPermissions = true;
  },
  no_default_permissions: (draft) => {
    draft.defaultPermissions = false;
  },
  local_locks: (draft) => {
    draft.localLocks = true;
  },
  native: (draft) => {
    draft.native = true;
  },
  no_native: (draft) => {
    draft.native = false;
  },
  writeback_cache: (draft) => {
    draft.writebackCache = true;
  },
};

const VALUES: Readonly<Record<string, (draft: Draft, value: string, name: string) => void>> = {
  attr_timeout: (draft, value, name) => {
    draft.attrTimeoutMs = seconds(value, name);
  },
  entry_timeout: (draft, value, name) => {
    draft.entryTimeoutMs = seconds(value, name);
  },
  negative_timeout: (draft, value, name) => {
    draft.negativeTimeoutMs = seconds(value, name);
  },
  max_read: (draft, value, name) => {
    draft.maxRead = integer(value, name, 10, 4096, 2 ** 31);
  },
  uid: (draft, value, name) => {
    draft.uid = integer(value, name, 10, 0, 2 ** 32 - 2);
  },
  gid: (draft, value, name) => {
    draft.gid = integer(value, name, 10, 0, 2 ** 32 - 2);
  },
  mode: (draft, value, name) => {
    draft.mode = integer(value, name, 8, 0, 0o7777);
  },
  size: (draft, value) => {
    draft.size = value;
  },
};

/** Words that are handed to mount(8) as they are. */
const FLAGS: readonly string[] = [
  ...['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec', 'sync', 'async', 'dirsync'],
  ...['atime', 'noatime', 'diratime', 'nodiratime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime'],
];

/** Reads the words after each `-o`. Throws a TypeError that says which word is wrong and what may be there. */
export function parseMountOptions(lists: readonly string[]): KernelMountOptions {
  const draft: Draft = { ...MOUNT_DEFAULTS };
  const flags: string[] = [];
  for (const word of lists.join(',').split(',')) {
    if (word === '') continue;
    if (FLAGS.includes(word)) flags.push(word);
    else parseWord(draft, word);
  }
  draft.flags = flags;
  return draft;
}

/**
 * How long the kernel may remember what; and whether we check permissions because it does not. Then it must walk every
 * path by asking: what one user has found, another may not be allowed to find.
 */
export function lifetimes(options: KernelMountOptions) {
  const { attrTimeoutMs, entryTimeoutMs, negativeTimeoutMs, defaultPermissions } = options;
  if (defaultPermissions) return { attrTimeoutMs, entryTimeoutMs, negativeTimeoutMs, checksPermissions: false };
  return { attrTimeoutMs, entryTimeoutMs: 0, negativeTimeoutMs: 0, checksPermissions: true };
}

/** The option text for mount(8). */
export function mountWords(options: KernelMountOptions): string {
  const words = ['fd=3', 'rootmode=40000', 'user_id=0', 'group_id=0'];
  if (options.allowOther) words.push('allow_other');
  if (options.defaultPermissions) words.push('default_permissions');
  if (options.maxRead !== undefined) words.push(`max_read=${options.maxRead}`);
  if (options.readOnly) words.push('ro');
  return [...words, ...options.flags].join(',');
}

function parseWord(draft: Draft, word: string): void {
  const equals = word.indexOf('=');
  const name = equals < 0 ? word : word.slice(0, equals);
  const set = Object.hasOwn(SWITCHES, name) ? SWITCHES[name] : undefined;
  const give = Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
  if (set === undefined && give === undefined) {
    const known = [...Object.keys(SWITCHES), ...Object.keys(VALUES).map((value) => `${value}=`), ...FLAGS];
    throw new TypeError(`unknown mount option '${word}': known are ${known.join(', ')}`);
  }
  if (set !== undefined && equals >= 0) throw new TypeError(`mount option '${name}' takes no value: write -o ${name}`);
  if (give !== undefined && equals < 0) throw new TypeError(`mount option '${name}' needs a value: write ${name}=…`);
  set?.(draft);
  give?.(draft, word.slice(equals + 1), name);
}

function seconds(text: string, name: string): number {
  if (!/^\d+(\.\d+)?$/.test(text))
    throw new TypeError(`mount option '${name}=${text}': it must be a number of seconds`);
  return Number(text) * 1000;
}

function integer(text: string, name: string, base: 8 | 10, min: number, max: number): number {
  const value = (base === 8 ? /^[0-7]+$/ : /^\d+$/).test(text) ? Number.parseInt(text, base) : Number.NaN;
  if (value >= min && value <= max) return value;
  const what = base === 8 ? 'an octal mode' : `a whole number from ${min} to ${max}`;
  throw new TypeError(`mount option '${name}=${text}': it must be ${what}`);
}
