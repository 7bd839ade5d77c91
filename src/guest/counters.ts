/** What a guest has done so far, as plain numbers. Single writer: the guest's own thread. */
import { OPS, type OpName } from '../wire/ops.ts';

/** Larger than every opcode that a guest sends. */
const OPCODE_ROOM = 64;

export class Counters {
  /** Requests sent, by opcode. */
  readonly requests = new Float64Array(OPCODE_ROOM);
  /** Lookups given back. */
  forgets = 0;
  mappingsSetUp = 0;
  mappingsUpgraded = 0;
  mappingsRemoved = 0;
  /** Ranges taken away from a file because another needed one. */
  mappingsReclaimed = 0;
  removalsFailed = 0;
  bytesReadDax = 0;
  bytesWrittenDax = 0;
  bytesReadFuse = 0;
  bytesWrittenFuse = 0;
  /** Views that unmount had to release. */
  leakedViews = 0;
}

export interface GuestStats {
  /** Requests sent, by operation; operations never sent are left out. */
  readonly requests: Readonly<Partial<Record<OpName, number>>>;
  /** All requests together. */
  readonly requestCount: number;
  /** Lookups given back to the host. */
  readonly forgets: number;
  readonly mappings: {
    readonly setUp: number;
    readonly upgraded: number;
    readonly removed: number;
    readonly reclaimed: number;
    readonly removalsFailed: number;
  };
  /** Page faults that the window posted to the host. */
  readonly faults: number;
  readonly bytes: {
    readonly readDax: number;
    readonly writtenDax: number;
    readonly readFuse: number;
    readonly writtenFuse: number;
  };
  /** Views that are not released, and those that only unmount released: a view pins its pages until then. */
  readonly views: { readonly open: number; readonly leaked: number };
  readonly cached: { readonly inodes: number; readonly dentries: number };
}

/** Returns the request counts by operation name. */
export function requestsByName(counters: Counters): Partial<Record<OpName, number>> {
  const out: Partial<Record<OpName, number>> = {};
  for (const name of Object.keys(OPS) as OpName[]) {
    const count = counters.requests[OPS[name].code] ?? 0;
    if (count > 0) out[name] = count;
  }
  return out;
}
