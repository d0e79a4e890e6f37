export { cancelDestruction } from './cancel-destruction.js'
export { committedUnderKey } from './committed-under-key.js'
export type { DestructionRow } from './destruction-row.js'
export {
  type SignatureEvidence,
  beginDestruction,
  claimDestruction,
  completeDestruction,
  databaseTime,
  markCopied,
  refuseDestruction,
  signatureEvidence,
} from './destruction-steps.js'
export { findDestroyedKeys } from './find-destroyed-keys.js'
export { type KekWraps, kekWraps } from './kek-wraps.js'
export { type KeyAge, keyAges } from './key-ages.js'
export { type KeyHold, holdsOnKey, keepHoldsStill } from './key-holds.js'
export { type KeyReferences, countKeyReferences, listKeyReferences, standingOfObjects } from './key-references.js'
export { listDestructions } from './list-destructions.js'
export { allowIdle, lockMasterKey } from './lock-key.js'
export {
  type ActiveKeys,
  type KeyRegistration,
  activateMasterKey,
  activateMasterKeyIn,
  activeKeys,
  addKnownAnswer,
  getMasterKey,
  listMasterKeys,
  registerMasterKey,
} from './master-keys.js'
export type { SealingKey } from './key-row.js'
export { assertMayRegister } from './may-register.js'
export { listPendingKeys } from './pending-keys.js'
export {
  type PinLockoutRow,
  clearPinLockout,
  getPinLockout,
  listPinLockouts,
  setPinLockout,
  underLoginLock,
} from './pin-lockout-rows.js'
export { fleetPinLockout } from './pin-lockout.js'
export { retireMasterKey } from './retire-key.js'
export { type Rewrapped, rewrapNonces } from './rewrap-nonces.js'
export { scheduleDestruction } from './schedule-destruction.js'
export { type WrappedNonces, listWrappedNonces } from './wrapped-nonces.js'
