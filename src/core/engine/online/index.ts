export type { AppliedRecord, Floor } from './applied.js';
export {
  type OnlineGroup,
  type OnlineReader,
  planGroup,
  planGroups,
  planReader,
  SEAL,
  type SealSizes,
} from './plan.js';
export type { DumpedEntity, OnlineRow } from './read.js';
export {
  type ApplyOptions,
  activateGroups,
  activeGroups,
  applyBatch,
  type ByteEngine,
  draftOf,
  dropGroup,
  dumpGroup,
  expireGroup,
  listGroups,
  type OnlineGroupState,
  type OnlinePosition,
  type OnlineRows,
  openGroup,
  positionOf,
  publishDraft,
  readRows,
} from './store.js';
