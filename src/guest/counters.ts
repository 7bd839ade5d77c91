/** What a guest has done so far, as plain numbers. Single writer: the guest's own thread. */
import { OPS, type OpName } from '../wire/ops.ts';
import { OP_ROOM, opIndex, PRIVATE_OPS, type PrivateOpName } from '../wire/private.ts';
import type { Allocation } from './options.ts';

export class Counters {
  /** Requests sent, by `opIndex`. */
  readonly requests = new Float64Array(OP_ROOM);
  /** Lookups given back. */
  forgets = 0;
  mappingsSetUp = 0;
  mappingsUpgraded = 0;
  mappingsRemoved = 0;
  /** Ranges taken away from a file because another needed one. */
  mappingsReclaimed = 0;
  removalsFailed = 0;
  /** Ranges mapped beyond the one that an access needed, by a request that mapped several. */
  mappedAhead = 0;
  /** Times an access waited for a round trip to find its range: requests to map, and answers that had to come first. */
  mappingStalls = 0;
  /** Passes that took ranges away before they were needed, and removals posted without waiting. */
  reclaimPasses = 0;
  rangesReclaimedEarly = 0;
  /** Ranges that the server asked back: given back, and kept because they were in use. */
  recalls = 0;
  rangesRecalled = 0;
  rangesGivenBack = 0;
  rangesPinned = 0;
  /** The host cannot do the allocation that was asked for. */
  allocationFallbacks = 0;
  bytesReadDax = 0;
  bytesWrittenDax = 0;
  bytesReadFuse = 0;
  bytesWrittenFuse = 0;
  /** Through the guest's own page cache. */
  bytesReadCached = 0;
  bytesWrittenCached = 0;
  /** Views that unmount had to release. */
  leakedViews = 0;
}

export interface GuestStats {
  /** Requests sent, by operation; operations never sent are left out. */
  readonly requests: Readonly<Partial<Record<OpName | PrivateOpName, number>>>;
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
    readonly ahead: number;
    readonly stalls: number;
    readonly reclaimPasses: number;
    readonly reclaimedEarly: number;
  };
  /** Who chooses ranges, and what it cost to get some back. */
  readonly allocation: {
    /** What is used: `client` when the host knows nothing else. Undefined before the first mapping. */
    readonly by: Allocation | undefined;
    readonly fallbacks: number;
    readonly recalls: number;
    readonly recalled: number;
    readonly givenBack: number;
    readonly pinned: number;
  };
  /** Page faults that the window posted to the host. */
  readonly faults: number;
  readonly bytes: {
    readonly readDax: number;
    readonly writtenDax: number;
    readonly readFuse: number;
    readonly writtenFuse: number;
    /** Of programs, out of the guest's own page cache; what filled it is in `readFuse`. */
    readonly readCached: number;
    readonly writtenCached: number;
  };
  /** Views that are not released, and those that only unmount released: a view pins its pages until then. */
  readonly views: { readonly open: number; readonly leaked: number };
  readonly cached: { readonly inodes: number; readonly dentries: number };
}

/** Returns the request counts by operation name. */
export function requestsByName(counters: Counters): Partial<Record<OpName | PrivateOpName, number>> {
  const out: Partial<Record<OpName | PrivateOpName, number>> = {};
  const ops = { ...OPS, ...PRIVATE_OPS };
  for (const name of Object.keys(ops) as (keyof typeof ops)[]) {
    const count = counters.requests[opIndex(ops[name].code)] ?? 0;
    if (count > 0) out[name] = count;
  }
  return out;
}
