/** The export list, nothing else. Built twice from here: for shared and for unshared memory. */
import './checks';

export {
  add32,
  bind,
  compareExchange32,
  copyIn,
  copyOut,
  lastFaultPage,
  lastRunSize,
  lastStatus,
  leave,
  loadF64,
  loadU8,
  loadU16,
  loadU32,
  pinAdd,
  pinBegin,
  pinRemove,
  runBegin,
  storeF64,
  storeU8,
  storeU16,
  storeU32,
} from './access';
export {
  copy,
  entryClear,
  entryLoad,
  entrySet,
  entryStore,
  fill,
  leafClear,
  leafCount,
  leafFind,
  leafHide,
  leafMissing,
  leafRead,
  leafRuns,
  leafWrite,
} from './entries';
export {
  clockNext,
  frameDisown,
  frameGive,
  frameHome,
  frameOwner,
  frameTake,
  leafGive,
  leafReserve,
  leafTake,
  poolInit,
} from './frames';

import { LAYOUT_VERSION } from './layout';

export function layoutVersion(): i32 {
  return LAYOUT_VERSION;
}
