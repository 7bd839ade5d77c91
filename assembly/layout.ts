/**
 * Every number that AssemblyScript and TypeScript share: page geometry, page table entries, and the structs in shared
 * memory. Portable: only constants and arithmetic on earlier ones. Offsets are chained, so a hole or an overlap cannot
 * be typed; `checks.ts` (asc) and `src/dax/instantiate.ts` (tsc) verify them from both sides.
 */

export const LAYOUT_VERSION: i32 = 2;

// ---- pages ------------------------------------------------------------------------------------------------------

export const PAGE_SHIFT: i32 = 12;
export const PAGE_SIZE: i32 = 1 << 12;
export const RANGE_SHIFT: i32 = 21;
/** A range of the window, a chunk of a file, what one leaf table maps: 2 MiB. */
export const RANGE_SIZE: i32 = 1 << 21;
export const PAGES_PER_RANGE: i32 = 512;

/**
 * Page table entry, one 32-bit word; the frame's address is the word without its low 12 bits.
 *
 *   31                            12 11        4   3      2         1       0
 *  ┌────────────────────────────────┬───────────┬──────┬──────────┬───────┬─────────┐
 *  │ frame address >> 12            │ 0         │ ZERO │ ACCESSED │ DIRTY │ PRESENT │
 *  └────────────────────────────────┴───────────┴──────┴──────────┴───────┴─────────┘
 *
 * Writers: the host writes any bit; a guest inside an access only ORs ACCESSED and DIRTY in, atomically.
 * ZERO: the frame is the one page of zeros that all holes share; a store must fault first.
 */
export const PTE_PRESENT: i32 = 1;
export const PTE_DIRTY: i32 = 2;
export const PTE_ACCESSED: i32 = 4;
export const PTE_ZERO: i32 = 8;
export const PTE_FRAME_MASK: i32 = -4096;
export const PTE_SIZE: i32 = 4;

/** A leaf table: the page table entries of one 2 MiB chunk of one file. */
export const LEAF_SIZE: i32 = 2048;

/**
 * Window entry (PMD), one word per 2 MiB range of a guest's window: the address of the file's own leaf table, which is
 * a multiple of 2048, and flags. Writer: the host. Setting up a mapping is one store of this word.
 */
export const PMD_PRESENT: i32 = 1;
export const PMD_WRITE: i32 = 2;
export const PMD_LEAF_MASK: i32 = -2048;
export const PMD_SIZE: i32 = 4;

/**
 * Pin word, one per page of a guest's window: how many views hold it. Writer: the guest, atomic add.
 * Low 16 bits: all pins; high 16 bits: the writable ones among them.
 */
export const PIN_ONE: i32 = 1;
export const PIN_WRITABLE: i32 = 65536;
export const PIN_SIZE: i32 = 4;
/** The pin words of one range. */
export const RANGE_PINS_SIZE: i32 = PIN_SIZE * PAGES_PER_RANGE;

// ---- one guest worker ("cpu") -----------------------------------------------------------------------------------

/** What a guest worker shares with the host besides its queues. The struct starts on a cache line. */
export const CPU_STATE: i32 = 0; //                          writers: see CPU_* states below
export const CPU_EPOCH: i32 = CPU_STATE + 4; //              writer: guest; odd while inside an access
export const CPU_FAULT_STATE: i32 = CPU_EPOCH + 4; //        writers: guest idle → posted → idle, host posted → done
export const CPU_FAULT_RANGE: i32 = CPU_FAULT_STATE + 4; //  writer: guest, while idle
export const CPU_FAULT_PAGE: i32 = CPU_FAULT_RANGE + 4; //   writer: guest, while idle
export const CPU_FAULT_COUNT: i32 = CPU_FAULT_PAGE + 4; //   writer: guest, while idle: pages wanted from there on
export const CPU_FAULT_WRITE: i32 = CPU_FAULT_COUNT + 4; //  writer: guest, while idle: FAULT_FOR_*
export const CPU_FAULT_RESULT: i32 = CPU_FAULT_WRITE + 4; // writer: host, while posted: 0 or an errno
export const CPU_BELL: i32 = CPU_FAULT_RESULT + 4; //        writer: host, atomic add: wakes the guest
export const CPU_GENERATION: i32 = CPU_BELL + 4; //          writer: host: counts the guests that were detached
/** Which guest it is a CPU of; 0 = one of its own. Writers: whoever attaches, while claimed; host: 0 before free. */
export const CPU_GUEST: i32 = CPU_GENERATION + 4;
export const CPU_SIZE: i32 = 64;

/**
 * CPU_STATE: free → claimed (whoever attaches, compare-and-swap) → live (the guest, when it has mounted) → dead (the
 * guest at unmount, or whoever saw its worker end) → free (the host, after it has taken everything back).
 */
export const CPU_FREE: i32 = 0;
export const CPU_CLAIMED: i32 = 1;
export const CPU_LIVE: i32 = 2;
export const CPU_DEAD: i32 = 3;

/**
 * CPU_FAULT_STATE: one of these, and the guest's generation in the bits above them. Who changes it compares the whole
 * word: what a worker that lost its slot still does to the mailbox is no event of the guest that has the slot now.
 */
export const FAULT_GENERATION_SHIFT: i32 = 2;
export const FAULT_IDLE: i32 = 0;
export const FAULT_POSTED: i32 = 1;
export const FAULT_DONE: i32 = 2;

export const FAULT_FOR_READ: i32 = 0;
export const FAULT_FOR_WRITE: i32 = 1;
/** A read-only view: no right to write is needed, but a page of its own. */
export const FAULT_FOR_VIEW: i32 = 2;

// ---- the frame pool ---------------------------------------------------------------------------------------------

/** Only the host writes it. All addresses are bytes. */
export const POOL_FRAMES_AT: i32 = 0; //                      first frame; a multiple of 4096
export const POOL_FRAME_COUNT: i32 = POOL_FRAMES_AT + 4;
export const POOL_TABLE_AT: i32 = POOL_FRAME_COUNT + 4; //    one word per frame, see FRAME_*
export const POOL_BITMAP_AT: i32 = POOL_TABLE_AT + 4; //      one bit per frame: 1 = taken
export const POOL_FREE_FRAMES: i32 = POOL_BITMAP_AT + 4;
export const POOL_CURSOR: i32 = POOL_FREE_FRAMES + 4; //      bitmap word where the next search starts
export const POOL_HAND: i32 = POOL_CURSOR + 4; //             frame index of the clock's hand
export const POOL_FREE_LEAF: i32 = POOL_HAND + 4; //          head of the list of free leaves, 0 = none
export const POOL_LEAVES: i32 = POOL_FREE_LEAF + 4; //        leaves in use
export const POOL_ZERO_FRAME: i32 = POOL_LEAVES + 4; //       address of the page of zeros
export const POOL_SIZE: i32 = 64;

/**
 * Frame table word: the address of the page table entry that owns the frame (a multiple of 4), or what else it is for.
 * Frames of a memory file are KEEP: they are the file, and never evicted.
 */
export const FRAME_KEEP: i32 = 1;
export const FRAME_LEAVES: i32 = 2; // split into two leaf tables; bits 2 and 3 tell which halves are taken
export const FRAME_LEAF_LOW: i32 = 4;
export const FRAME_LEAF_HIGH: i32 = 8;
export const FRAME_OWNER_MASK: i32 = -4;

// ---- outcome of an access ---------------------------------------------------------------------------------------

export const STATUS_OK: i32 = 0;
/** The page is not present, or a store met ZERO: post a fault for it and try again. */
export const STATUS_FAULT: i32 = 1;
/** The range has no mapping. */
export const STATUS_NOT_MAPPED: i32 = 2;
/** A store met a read-only mapping. */
export const STATUS_READ_ONLY: i32 = 3;
/** The slot is not this worker's any more: somebody said that the worker has ended. */
export const STATUS_DETACHED: i32 = 4;
