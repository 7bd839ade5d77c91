/**
 * What the system tells about an object, as numbers: from node:fs's stats, or from statx(2) where that is called
 * directly. Within one file system all come from the same source, so that devices compare.
 */
import type { BigIntStats } from 'node:fs';
import type { Timespec } from '../../base/clock.ts';

const NS_PER_SEC = 1_000_000_000;
const TWO_32 = 2 ** 32;
const time: Timespec = { sec: 0, nsec: 0 };

export class Stat {
  dev = 0;
  /** The inode number has 64 bits, more than a number holds. */
  inoLow = 0;
  inoHigh = 0;
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  /** SPEC: the kernel's encoding of device numbers, the low half of the C library's. */
  rdev = 0;
  size = 0;
  blocks = 0;
  blksize = 0;
  atime = 0;
  atimensec = 0;
  mtime = 0;
  mtimensec = 0;
  ctime = 0;
  ctimensec = 0;
  /** 0 and 0: the system does not know. */
  btime = 0;
  btimensec = 0;

  /** Exact up to 2 ** 53. */
  get ino(): number {
    return this.inoHigh * TWO_32 + this.inoLow;
  }

  /** The same size and times: nobody has changed the content in between, as far as can be told. */
  hasContentOf(other: Stat): boolean {
    return (
      this.size === other.size &&
      this.mtimensec === other.mtimensec &&
      this.mtime === other.mtime &&
      this.ctimensec === other.ctimensec &&
      this.ctime === other.ctime
    );
  }

  wasBornWith(other: Stat): boolean {
    return this.btimensec === other.btimensec && this.btime === other.btime;
  }

  /** The system keeps no times of birth, or not of this object. */
  get hasNoBirth(): boolean {
    return this.btime === 0 && this.btimensec === 0;
  }

  /** Node answers with the time of change where no time of birth is kept. */
  get wasBornWhenChanged(): boolean {
    return this.btimensec === this.ctimensec && this.btime === this.ctime;
  }
}

export function statOfNode(stats: BigIntStats): Stat {
  const to = new Stat();
  to.dev = Number(stats.dev);
  to.inoLow = Number(BigInt.asUintN(32, stats.ino));
  to.inoHigh = Number(BigInt.asUintN(32, stats.ino >> 32n));
  to.mode = Number(stats.mode);
  to.nlink = Number(stats.nlink);
  to.uid = Number(stats.uid);
  to.gid = Number(stats.gid);
  to.rdev = Number(BigInt.asUintN(32, stats.rdev));
  to.size = Number(stats.size);
  to.blocks = Number(stats.blocks ?? 0n);
  to.blksize = Number(stats.blksize ?? 4096n);
  splitTime(stats.atimeNs, time);
  to.atime = time.sec;
  to.atimensec = time.nsec;
  splitTime(stats.mtimeNs, time);
  to.mtime = time.sec;
  to.mtimensec = time.nsec;
  splitTime(stats.ctimeNs, time);
  to.ctime = time.sec;
  to.ctimensec = time.nsec;
  splitTime(stats.birthtimeNs, time);
  to.btime = time.sec;
  to.btimensec = time.nsec;
  return to;
}

/** Writes seconds, rounded down, and nanoseconds. BigInt division would cost more than the system call. */
export function splitTime(ns: bigint, out: Timespec): void {
  // Off by one at most; the difference to the true nanoseconds fits 32 bits, so it is exact modulo 2 ** 32.
  let sec = Math.floor(Number(ns) / NS_PER_SEC);
  let nsec = (Number(BigInt.asUintN(32, ns)) - Math.imul(sec, NS_PER_SEC)) | 0;
  if (nsec < 0) {
    sec--;
    nsec += NS_PER_SEC;
  } else if (nsec >= NS_PER_SEC) {
    sec++;
    nsec -= NS_PER_SEC;
  }
  out.sec = sec;
  out.nsec = nsec;
}
