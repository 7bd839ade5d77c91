/** Instantiates the module over a memory and checks that both languages mean the same layout. */
import {
  CPU_BELL,
  CPU_EPOCH,
  CPU_FAULT_RESULT,
  CPU_GENERATION,
  CPU_SIZE,
  LAYOUT_VERSION,
  LEAF_SIZE,
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGES_PER_RANGE,
  POOL_SIZE,
  POOL_ZERO_FRAME,
  PTE_SIZE,
  RANGE_SHIFT,
  RANGE_SIZE,
} from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { DaxExports } from './exports.ts';

/** Creates an instance over `memory`. The module has no data section: instantiating writes nothing. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): DaxExports {
  checkLayout();
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const exports = instance.exports as unknown as DaxExports;
  assert(exports.layoutVersion() === LAYOUT_VERSION, 'the wasm module is of another build: run the build again');
  return exports;
}

/** The mirror of assembly/checks.ts: the same relations, asserted by the other compiler. */
function checkLayout(): void {
  assert(1 << PAGE_SHIFT === PAGE_SIZE, 'page geometry');
  assert(1 << RANGE_SHIFT === RANGE_SIZE, 'range geometry');
  assert(PAGES_PER_RANGE * PAGE_SIZE === RANGE_SIZE, 'pages per range');
  assert(PAGES_PER_RANGE * PTE_SIZE === LEAF_SIZE, 'leaf size');
  assert(CPU_EPOCH === 4 && CPU_FAULT_RESULT === 28 && CPU_BELL === 32, 'cpu struct moved');
  assert(CPU_GENERATION + 4 <= CPU_SIZE, 'cpu struct does not fit its room');
  assert(POOL_ZERO_FRAME + 4 <= POOL_SIZE, 'pool struct does not fit its room');
}
