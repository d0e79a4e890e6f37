/**
 * Step 3 of opening: compares the object with its database record. This is the only such comparison, for whole reads,
 * ranges, verifying and re-encryption. So a record must be complete, and no reader uses a value from a record that was
 * not compared here with the header, whose tag is checked next.
 */
import { FormatError } from './errors.js'
import type { ParsedHeader } from './header.js'
import { equalBytes } from './secret.js'
import type { Geometry } from './sizes.js'
import type { AttemptIdentity } from './terms.js'

/** The record of an object. The KEK's version is not compared: nonces may have been rewrapped. */
export interface RecordView extends AttemptIdentity {
  /** 0 in an object's header means unspecified. */
  readonly attemptNo: number
  readonly segLog2: number
  readonly nonceMode: 'inline' | 'detached'
  /** Inline objects only. */
  readonly nonceEnc?: Uint8Array | undefined
  readonly nonceSig?: Uint8Array | undefined
  /** T. */
  readonly objectLength: number
  /** L. */
  readonly plaintextLength: number
  readonly htag?: Uint8Array | undefined
  /** Compared with the trailer, in step 6. */
  readonly fmac?: Uint8Array | undefined
}

/** Throws E_RECORD_MISMATCH and names the first field that differs. */
export function checkRecord(record: RecordView, header: ParsedHeader, geometry: Geometry): void {
  const same: readonly (readonly [field: string, same: boolean])[] = [
    ['file id', record.fileId === header.fileId],
    ['attempt id', record.attemptId === header.attemptId],
    ['attempt number', header.attemptNo === 0 || record.attemptNo === header.attemptNo],
    ['suite', record.suite === header.suite],
    ['encryption key version', record.encKeyVersion === header.encKeyVersion],
    ['signing key version', record.sigKeyVersion === header.sigKeyVersion],
    ['key domain', record.keyDomain === header.keyDomain],
    ['nonce mode', record.nonceMode === (header.detached ? 'detached' : 'inline')],
    ['encryption nonce', sameNonce(record.nonceEnc, header.nonces?.nonceEnc)],
    ['signing nonce', sameNonce(record.nonceSig, header.nonces?.nonceSig)],
    ['segment size', record.segLog2 === header.segLog2],
    ['length', record.objectLength === geometry.objectLength],
    ['plaintext length', record.plaintextLength === geometry.plaintextLength],
    ['header tag', record.htag === undefined || equalBytes(record.htag, header.headerTag)],
  ]
  const different = same.find(([, equal]) => !equal)
  if (different) throw new FormatError('E_RECORD_MISMATCH', `the record names another ${different[0]}`)
}

/** A record without nonces is not compared; a record with nonces cannot belong to a detached object. */
function sameNonce(recorded: Uint8Array | undefined, inline: Uint8Array | undefined): boolean {
  return recorded === undefined || (inline !== undefined && equalBytes(recorded, inline))
}
