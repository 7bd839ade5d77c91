/** Proves at compile time that the structs of layout.ts are what both compilers think: a moved field does not build. */
import {
  CPU_BELL,
  CPU_EPOCH,
  CPU_FAULT_RESULT,
  CPU_FAULT_STATE,
  CPU_GENERATION,
  CPU_GUEST,
  CPU_SIZE,
  LEAF_SIZE,
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGES_PER_RANGE,
  POOL_CURSOR,
  POOL_SIZE,
  POOL_ZERO_FRAME,
  PTE_SIZE,
  RANGE_SHIFT,
  RANGE_SIZE,
} from './layout';

@unmanaged
class Cpu {
  state: u32;
  epoch: u32;
  fault_state: u32;
  fault_range: u32;
  fault_page: u32;
  fault_count: u32;
  fault_write: u32;
  fault_result: u32;
  bell: u32;
  generation: u32;
  guest: u32;
}

@unmanaged
class Pool {
  frames_at: u32;
  frame_count: u32;
  table_at: u32;
  bitmap_at: u32;
  free_frames: u32;
  cursor: u32;
  hand: u32;
  free_leaf: u32;
  leaves: u32;
  zero_frame: u32;
}

if (offsetof<Cpu>('epoch') !== CPU_EPOCH) ERROR('Cpu.epoch moved');
if (offsetof<Cpu>('fault_state') !== CPU_FAULT_STATE) ERROR('Cpu.fault_state moved');
if (offsetof<Cpu>('fault_result') !== CPU_FAULT_RESULT) ERROR('Cpu.fault_result moved');
if (offsetof<Cpu>('bell') !== CPU_BELL) ERROR('Cpu.bell moved');
if (offsetof<Cpu>('generation') !== CPU_GENERATION) ERROR('Cpu.generation moved');
if (offsetof<Cpu>('guest') !== CPU_GUEST) ERROR('Cpu.guest moved');
if (<i32>offsetof<Cpu>() > CPU_SIZE) ERROR('Cpu does not fit its room');
if (offsetof<Pool>('cursor') !== POOL_CURSOR) ERROR('Pool.cursor moved');
if (offsetof<Pool>('zero_frame') !== POOL_ZERO_FRAME) ERROR('Pool.zero_frame moved');
if (<i32>offsetof<Pool>() > POOL_SIZE) ERROR('Pool does not fit its room');
if (1 << PAGE_SHIFT !== PAGE_SIZE) ERROR('page geometry');
if (1 << RANGE_SHIFT !== RANGE_SIZE) ERROR('range geometry');
if (PAGES_PER_RANGE * PAGE_SIZE !== RANGE_SIZE) ERROR('pages per range');
if (PAGES_PER_RANGE * PTE_SIZE !== LEAF_SIZE) ERROR('leaf size');
