export { cancelScheduled } from './destroy/cancel.js'
export { type CarryOutOptions, carryOutDestruction, rehearseDestruction } from './destroy/carry-out.js'
export { copyDestruction, readDestructionCopy } from './destroy/copy.js'
export { carryOutDue } from './destroy/due.js'
export { assertNotNeeded } from './destroy/needs.js'
export {
  DestructionUnproven,
  type VerifiedDestruction,
  destructionCopy,
  destructionMessage,
  destructionStoreKey,
  verifyDestructionRecord,
} from './destroy/record.js'
export { recoveredDestruction } from './destroy/recovered.js'
export { DESTROY_KIND, requestDetail } from './destroy/request.js'
export { lookAtKey, scheduleByRequest } from './destroy/schedule.js'
export { type Signer, checkSignatures } from './destroy/signatures.js'
export { type DestroyPorts, DestructionRefused, type KeyNeeds, registered } from './destroy/terms.js'
export { type ProvePorts, keyProver, proveActiveKeys } from './prove-keys.js'
export { type KeyStep, type PlanInput, planRole, planRotation } from './rotate/plan.js'
export { DESTROYED_KEYS_MS, type DestroyedKeysPorts, watchDestroyedKeys } from './watch/destroyed-keys.js'
export { startKeyWatch } from './watch/key-watch.js'
