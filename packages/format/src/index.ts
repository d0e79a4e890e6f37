/** SFV1, the sealed-object format: the public interface. Start with terms.ts and docs/design/format.md. */
export type {
  AttemptIdentity,
  Cancellable,
  KeyDeriver,
  MasterKeyRef,
  NoncePair,
  NonceWrapper,
  Role,
  Suite,
} from './terms.js'
export { MAX_CONTEXT_LENGTH } from './terms.js'
export { FORMAT_ERROR_CODES, FormatError, type FormatErrorCode } from './errors.js'
export {
  DEFAULT_SEG_LOG2,
  HEADER_LENGTH,
  MAX_PLAINTEXT_LENGTH,
  MAX_SEG_LOG2,
  MIN_SEG_LOG2,
  TAG_LENGTH,
  TRAILER_LENGTH,
  objectLength,
  plaintextLength,
  segmentCount,
  segmentSize,
} from './sizes.js'
export { derivationMessages, isWellFormedDerivation, type DerivationInput } from './derivation.js'
export { KNOWN_ANSWER_LENGTH, knownAnswerMessages, knownAnswerOf } from './known-answer.js'
export { RESERVED_NONCE } from './reserved-nonce.js'
export { NONCE_LENGTH, type RandomFill, freshNonces, nonceId } from './nonce.js'
export { NONCE_AAD_LENGTH, WRAPPED_NONCES_LENGTH, nonceAad, unwrapNonces, wrapNonces } from './nonce-record.js'
export { type ArenaUse, SLOT_LENGTH, SecretArena, secrets } from './arena.js'
export { dedicated, dedicatedCopy, secret, secretCopy, takeOver, wipe } from './secret.js'
export { FORMAT_VERSION, type HeaderFields } from './header.js'
export type { Allocate } from './chunks.js'
export { unlessAborted } from './cancel.js'
export type { PlaintextReader, PlaintextSource } from './plaintext.js'
export { segmentsAtOnce } from './segment-window.js'
export type { SealResult } from './sealing-pass.js'
export { type SealOptions, type SealStreamOptions, type Sealer, createSealer } from './seal.js'
export { type ObjectReader, bufferReader } from './reader.js'
export { type FileObjectReader, fileReader } from './file-reader.js'
export { type ObjectInfo, inspectObject } from './inspect.js'
export type { OpenOptions } from './admission.js'
export type { RecordView } from './record-view.js'
export type { Trailer } from './trailer.js'
export { type OpenedObject, type ReadOptions, openObject } from './open.js'
export { type VerifyOptions, type VerifyResult, verifyObject } from './verify.js'
export { keyLabel, parseKeyLabel } from './key-label.js'
