export type { Capabilities } from './capabilities.js'
export { STORE_ERROR_CODES, StoreError, type StoreErrorCode } from './errors.js'
export { lockText } from './lock.js'
export {
  objectMetadata,
  readObjectMetadata,
  readObjectSource,
  type ObjectIdentity,
  type ObjectSource,
} from './metadata.js'
export { recordedReader, type RecordedPlace } from './recorded-reader.js'
export { openStore } from './store.js'
export type * from './types.js'
