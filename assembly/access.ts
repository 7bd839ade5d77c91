/**
 * A guest's access to its window: range entry → the file's leaf table → frame, then bytes.
 *
 * An access is a critical section: the cpu's epoch is odd while it lasts. Entries are read inside it and nothing read
 * is used after it, so the host may take a frame away once it has cleared PRESENT and seen every epoch move on.
 * `status` tells after each call how it went; on STATUS_FAULT, `faultPage` is the page (within the range) to ask for.
 */
import {
  CPU_EPOCH,
  CPU_GENERATION,
  PAGE_SHIFT,
  PAGE_SIZE,
  PIN_ONE,
  PIN_SIZE,
  PIN_WRITABLE,
  PMD_LEAF_MASK,
  PMD_PRESENT,
  PMD_WRITE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_FRAME_MASK,
  PTE_PRESENT,
  PTE_ZERO,
  STATUS_DETACHED,
  STATUS_FAULT,
  STATUS_NOT_MAPPED,
  STATUS_OK,
  STATUS_READ_ONLY,
} from './layout';

let status: i32 = 0;
let faultPage: u32 = 0;
let runSize: u32 = 0;
let generation: u32 = 0;
/** The epoch of the access this instance is in, or was in last. */
let entered: u32 = 0;

/** STATUS_* of the last access of this instance. */
export function lastStatus(): i32 {
  return status;
}

/** The page that STATUS_FAULT was about. */
export function lastFaultPage(): u32 {
  return faultPage;
}

/** Bytes of the run that `runBegin` found. */
export function lastRunSize(): u32 {
  return runSize;
}

/** Says which guest of the slot this instance is; see CPU_GENERATION. */
export function bind(generationNow: u32): void {
  generation = generationNow;
}

/**
 * Enters an access. Returns false, outside, when the slot was taken from this worker: in a browser a terminated worker
 * may run on for seconds, and must not touch what is another guest's by then.
 */
function enter(cpu: u32): bool {
  // SAFETY: cpu is this worker's own struct.
  let epoch: u32 = 0;
  do {
    if (atomic.load<u32>(cpu + CPU_GENERATION) !== generation) return detached();
    epoch = load<u32>(cpu + CPU_EPOCH);
    // Odd even if an access before was left by an exception and the word is odd already.
    entered = (epoch + 1) | 1;
    // ORDER: sequentially consistent: the entries are loaded after the epoch is odd for all to see. Pairs with the
    // host, which clears an entry and then loads the epoch: one of the two sees the other. Compared, for a worker that
    // lost its slot between the lines above may not take back what the next guest has stored meanwhile.
  } while (atomic.cmpxchg<u32>(cpu + CPU_EPOCH, epoch, entered) !== epoch);
  if (atomic.load<u32>(cpu + CPU_GENERATION) === generation) return true;
  leave(cpu);
  return detached();
}

function detached(): bool {
  status = STATUS_DETACHED;
  return false;
}

// SAFETY: as enter.
export function leave(cpu: u32): void {
  // ORDER: all loads and stores of the access are before this; pairs with the host's wait for the epoch to move. If the
  // slot was taken away during the access, the word is another guest's by now and stays as it is.
  atomic.cmpxchg<u32>(cpu + CPU_EPOCH, entered, entered + 1);
}

/** Inside an access: returns the address of the byte at `offset` of the range, 0 = see status. */
function resolve(pmdAt: u32, offset: u32, write: bool): u32 {
  // SAFETY: pmdAt is an entry of this guest's window table; offset < 2 MiB; a present PMD names a live leaf.
  const pmd = atomic.load<u32>(pmdAt);
  if ((pmd & PMD_PRESENT) === 0) return fail(STATUS_NOT_MAPPED, offset);
  if (write && (pmd & PMD_WRITE) === 0) return fail(STATUS_READ_ONLY, offset);
  const entryAt = (pmd & PMD_LEAF_MASK) + ((offset >>> PAGE_SHIFT) << 2);
  const entry = atomic.load<u32>(entryAt);
  if ((entry & PTE_PRESENT) === 0) return fail(STATUS_FAULT, offset);
  if (write) {
    if ((entry & PTE_ZERO) !== 0) return fail(STATUS_FAULT, offset);
    const used = PTE_DIRTY | PTE_ACCESSED;
    // ORDER: DIRTY is set before the bytes change: whoever clears it and then waits for our epoch writes the new bytes.
    if ((entry & used) !== used) atomic.or<u32>(entryAt, used);
  } else if ((entry & PTE_ACCESSED) === 0) {
    atomic.or<u32>(entryAt, PTE_ACCESSED);
  }
  return (entry & PTE_FRAME_MASK) + (offset & (PAGE_SIZE - 1));
}

function fail(reason: i32, offset: u32): u32 {
  status = reason;
  faultPage = offset >>> PAGE_SHIFT;
  return 0;
}

/**
 * Extends the run that starts with `address` over following pages whose frames follow too, up to `size` bytes.
 * Returns its length in bytes. A page that is missing ends the run without an error.
 */
function extend(pmdAt: u32, offset: u32, size: u32, address: u32, write: bool): u32 {
  let n: u32 = min<u32>(PAGE_SIZE - (offset & (PAGE_SIZE - 1)), size);
  while (n < size) {
    if (resolve(pmdAt, offset + n, write) !== address + n) break;
    n += min<u32>(PAGE_SIZE, size - n);
  }
  return n;
}

/** Copies out of the window: bytes [offset, offset + size) of the range to `target`. Returns the bytes copied. */
export function copyOut(cpu: u32, pmdAt: u32, offset: u32, target: u32, size: u32): u32 {
  // SAFETY: offset + size ≤ 2 MiB, target + size in memory: checked by window.ts.
  if (!enter(cpu)) return 0;
  let done: u32 = 0;
  while (done < size) {
    const address = resolve(pmdAt, offset + done, false);
    if (address === 0) break;
    const n = extend(pmdAt, offset + done, size - done, address, false);
    memory.copy(target + done, address, n);
    done += n;
  }
  if (done === size) status = STATUS_OK;
  leave(cpu);
  return done;
}

/** Copies into the window. Returns the bytes copied. */
export function copyIn(cpu: u32, pmdAt: u32, offset: u32, source: u32, size: u32): u32 {
  // SAFETY: as copyOut.
  if (!enter(cpu)) return 0;
  let done: u32 = 0;
  while (done < size) {
    const address = resolve(pmdAt, offset + done, true);
    if (address === 0) break;
    const n = extend(pmdAt, offset + done, size - done, address, true);
    memory.copy(address, source + done, n);
    done += n;
  }
  if (done === size) status = STATUS_OK;
  leave(cpu);
  return done;
}

/**
 * Enters an access and stays in it: returns the address of a run of at most `size` bytes (lastRunSize tells how many)
 * for JavaScript to copy, which must then call `leave`. Returns 0, outside of the access, when the first page is
 * missing.
 */
export function runBegin(cpu: u32, pmdAt: u32, offset: u32, size: u32, write: bool): u32 {
  if (!enter(cpu)) return 0;
  const address = resolve(pmdAt, offset, write);
  if (address === 0) {
    leave(cpu);
    return 0;
  }
  runSize = extend(pmdAt, offset, size, address, write);
  status = STATUS_OK;
  return address;
}

/**
 * As runBegin, for a view: the page of zeros is no answer, because a view does not fault when the hole gets a page of
 * its own.
 */
export function pinBegin(cpu: u32, pmdAt: u32, offset: u32, size: u32, write: bool): u32 {
  if (!enter(cpu)) return 0;
  // SAFETY: as in resolve. The page is pinned already: a page of its own does not become a hole again.
  const pmd = atomic.load<u32>(pmdAt);
  const entryAt = (pmd & PMD_LEAF_MASK) + ((offset >>> PAGE_SHIFT) << 2);
  const isHole = (pmd & PMD_PRESENT) !== 0 && (atomic.load<u32>(entryAt) & PTE_ZERO) !== 0;
  leave(cpu);
  return isHole ? fail(STATUS_FAULT, offset) : runBegin(cpu, pmdAt, offset, size, write);
}

// SAFETY (all loads and stores below): resolve returned an address inside a frame; the caller aligned the offset.
export function loadU8(cpu: u32, pmdAt: u32, offset: u32): u32 {
  if (!enter(cpu)) return 0;
  const address = resolve(pmdAt, offset, false);
  const value = address === 0 ? 0 : done32(load<u8>(address));
  leave(cpu);
  return value;
}

export function loadU16(cpu: u32, pmdAt: u32, offset: u32): u32 {
  if (!enter(cpu)) return 0;
  const address = resolve(pmdAt, offset, false);
  const value = address === 0 ? 0 : done32(load<u16>(address));
  leave(cpu);
  return value;
}

export function loadU32(cpu: u32, pmdAt: u32, offset: u32): u32 {
  if (!enter(cpu)) return 0;
  const address = resolve(pmdAt, offset, false);
  const value = address === 0 ? 0 : done32(atomic.load<u32>(address));
  leave(cpu);
  return value;
}

export function loadF64(cpu: u32, pmdAt: u32, offset: u32): f64 {
  if (!enter(cpu)) return 0;
  const address = resolve(pmdAt, offset, false);
  let value: f64 = 0;
  if (address !== 0) {
    value = load<f64>(address);
    status = STATUS_OK;
  }
  leave(cpu);
  return value;
}

function done32(value: u32): u32 {
  status = STATUS_OK;
  return value;
}

export function storeU8(cpu: u32, pmdAt: u32, offset: u32, value: u32): void {
  if (!enter(cpu)) return;
  const address = resolve(pmdAt, offset, true);
  if (address !== 0) {
    store<u8>(address, value);
    status = STATUS_OK;
  }
  leave(cpu);
}

export function storeU16(cpu: u32, pmdAt: u32, offset: u32, value: u32): void {
  if (!enter(cpu)) return;
  const address = resolve(pmdAt, offset, true);
  if (address !== 0) {
    store<u16>(address, value);
    status = STATUS_OK;
  }
  leave(cpu);
}

export function storeU32(cpu: u32, pmdAt: u32, offset: u32, value: u32): void {
  if (!enter(cpu)) return;
  const address = resolve(pmdAt, offset, true);
  if (address !== 0) {
    // ORDER: a 32-bit store of a program is sequentially consistent, so that programs can build protocols on it.
    atomic.store<u32>(address, value);
    status = STATUS_OK;
  }
  leave(cpu);
}

export function storeF64(cpu: u32, pmdAt: u32, offset: u32, value: f64): void {
  if (!enter(cpu)) return;
  const address = resolve(pmdAt, offset, true);
  if (address !== 0) {
    store<f64>(address, value);
    status = STATUS_OK;
  }
  leave(cpu);
}

export function compareExchange32(cpu: u32, pmdAt: u32, offset: u32, expected: u32, value: u32): u32 {
  if (!enter(cpu)) return 0;
  const address = resolve(pmdAt, offset, true);
  // ORDER: sequentially consistent, for the protocols of programs.
  const old = address === 0 ? 0 : done32(atomic.cmpxchg<u32>(address, expected, value));
  leave(cpu);
  return old;
}

export function add32(cpu: u32, pmdAt: u32, offset: u32, value: u32): u32 {
  if (!enter(cpu)) return 0;
  const address = resolve(pmdAt, offset, true);
  // ORDER: as above.
  const old = address === 0 ? 0 : done32(atomic.add<u32>(address, value));
  leave(cpu);
  return old;
}

// SAFETY: pinAt is the pin word of a page of this guest's window, and `count` pages of the same range follow.
export function pinAdd(cpu: u32, pinAt: u32, count: u32, writable: bool): bool {
  if (!enter(cpu)) return false;
  for (let i: u32 = 0; i < count; i++) {
    // ORDER: the pin is visible before the entries are looked at; pairs with the host, which clears PRESENT and then
    // loads the pins: either it sees the pin and puts the page back, or we see the page gone and fault.
    atomic.add<u32>(pinAt + i * PIN_SIZE, writable ? PIN_ONE + PIN_WRITABLE : PIN_ONE);
  }
  leave(cpu);
  return true;
}

// SAFETY: as pinAdd. What pinned for the guest before may not unpin for the next one: that one's views would go.
export function pinRemove(cpu: u32, pinAt: u32, count: u32, writable: bool): void {
  if (!enter(cpu)) return;
  for (let i: u32 = 0; i < count; i++) {
    // ORDER: all uses of the view are before this.
    atomic.sub<u32>(pinAt + i * PIN_SIZE, writable ? PIN_ONE + PIN_WRITABLE : PIN_ONE);
  }
  leave(cpu);
}
