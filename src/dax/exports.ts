/** The wasm module's face: numbers in, numbers out. A u32 result arrives signed: callers apply `>>> 0` to addresses. */

/** What guests use: accesses to their window. */
export interface GuestExports {
  bind(generation: number): void;
  leave(cpu: number): void;
  lastStatus(): number;
  lastFaultPage(): number;
  lastRunSize(): number;
  copyOut(cpu: number, pmdAt: number, offset: number, target: number, size: number): number;
  copyIn(cpu: number, pmdAt: number, offset: number, source: number, size: number): number;
  runBegin(cpu: number, pmdAt: number, offset: number, size: number, write: number): number;
  pinBegin(cpu: number, pmdAt: number, offset: number, size: number, write: number): number;
  loadU8(cpu: number, pmdAt: number, offset: number): number;
  loadU16(cpu: number, pmdAt: number, offset: number): number;
  loadU32(cpu: number, pmdAt: number, offset: number): number;
  loadF64(cpu: number, pmdAt: number, offset: number): number;
  storeU8(cpu: number, pmdAt: number, offset: number, value: number): void;
  storeU16(cpu: number, pmdAt: number, offset: number, value: number): void;
  storeU32(cpu: number, pmdAt: number, offset: number, value: number): void;
  storeF64(cpu: number, pmdAt: number, offset: number, value: number): void;
  compareExchange32(cpu: number, pmdAt: number, offset: number, expected: number, value: number): number;
  add32(cpu: number, pmdAt: number, offset: number, value: number): number;
  pinAdd(cpu: number, pinAt: number, count: number, writable: number): number;
  pinRemove(cpu: number, pinAt: number, count: number, writable: number): void;
}

/** What the host uses: the pool, page tables, copies between frames and requests. */
export interface HostExports {
  poolInit(pool: number, framesAt: number, frameCount: number, tableAt: number, bitmapAt: number): void;
  frameTake(pool: number, wish: number, owner: number): number;
  frameGive(pool: number, frame: number): void;
  frameDisown(pool: number, frame: number): void;
  frameHome(pool: number): number;
  frameOwner(pool: number, frame: number): number;
  leafTake(pool: number): number;
  leafGive(pool: number, leaf: number): void;
  leafReserve(pool: number, leaf: number, from: number, end: number, first: number): number;
  clockNext(pool: number, budget: number): number;
  entryLoad(at: number): number;
  entryStore(at: number, value: number): void;
  entryClear(at: number, bits: number): number;
  entrySet(at: number, bits: number): number;
  leafFind(leaf: number, from: number, bits: number): number;
  leafClear(leaf: number, bits: number): number;
  leafHide(leaf: number, from: number, end: number): void;
  leafMissing(leaf: number, from: number, end: number): number;
  leafCount(leaf: number, bits: number): number;
  leafRuns(leaf: number): number;
  leafRead(leaf: number, offset: number, target: number, size: number): number;
  leafWrite(leaf: number, offset: number, source: number, size: number, dirty: number): number;
  copy(target: number, source: number, size: number): void;
  fill(target: number, size: number): void;
}

export interface DaxExports extends GuestExports, HostExports {
  layoutVersion(): number;
}
