/** Destroying master keys: what is public. Start with destroy/terms.ts. */
export type {
  DestroyPorts,
  KeyNeeds,
  KeyTokens,
  Need,
  RegisteredKey,
  StoreNeeds,
  TokenProof,
  TokenSighting,
} from './destroy/terms.js'
export { DestructionRefused, registered } from './destroy/terms.js'
export { assertNotNeeded, keyNeeds, storeNeeds, type ScanOptions } from './destroy/needs.js'
export { lookAtKey, requestDestruction, scheduleByRequest } from './destroy/schedule.js'
export { DESTROY_KIND, requestDetail, termsOf, type DestructionTerms } from './destroy/request.js'
export { cancelScheduled } from './destroy/cancel.js'
export { carryOutDestruction, type CarryOutOptions, type CarryOutResult } from './destroy/carry-out.js'
export { carryOutDue, type DestroyReport } from './destroy/due.js'
export { copyDestruction, readCopy } from './destroy/copy.js'
export { recoveredDestruction } from './destroy/recovered.js'
export { checkSignatures, type SignedBy, type Signer } from './destroy/signatures.js'
export {
  destructionCopy,
  destructionStoreKey,
  DestructionUnproven,
  verifyDestructionRecord,
  type VerifiedDestruction,
} from './destroy/record.js'
