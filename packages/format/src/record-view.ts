/** Step 3 of opening: the object against what the database says of it. */
import { FormatError } from './errors.js'
import type { ParsedHeader } from './header.js'
import { equalBytes } from './secret.js'
import type { AttemptIdentity } from './terms.js'

/** What a record says of its object. The KEK's version is not compared: nonces may have been re-wrapped. */
export interface RecordView extends AttemptIdentity {
  /** Inline objects only. */
  readonly nonceEnc?: Uint8Array | undefined
  readonly nonceSig?: Uint8Array | undefined
  /** T. */
  readonly objectLength: number
  readonly htag?: Uint8Array | undefined
  /** Compared with the trailer, in step 6. */
  readonly fmac?: Uint8Array | undefined
}

/** Throws E_RECORD_MISMATCH and names the first field that differs. */
export function checkRecord(record: RecordView, header: ParsedHeader, objectLength: number): void {
  const same: readonly (readonly [field: string, same: boolean])[] = [
    ['file id', record.fileId === header.fileId],
    ['attempt id', record.attemptId === header.attemptId],
    ['suite', record.suite === header.suite],
    ['encryption key version', record.encKeyVersion === header.encKeyVersion],
    ['signing key version', record.sigKeyVersion === header.sigKeyVersion],
    ['key domain', record.keyDomain === header.keyDomain],
    ['encryption nonce', sameNonce(record.nonceEnc, header.nonces?.nonceEnc)],
    ['signing nonce', sameNonce(record.nonceSig, header.nonces?.nonceSig)],
    ['length', record.objectLength === objectLength],
    ['header tag', record.htag === undefined || equalBytes(record.htag, header.headerTag)],
  ]
  const different = same.find(([, equal]) => !equal)
  if (different) throw new FormatError('E_RECORD_MISMATCH', `the record names another ${different[0]}`)
}

/** A record without nonces says nothing of them; one that has them can't belong to a detached object. */
function sameNonce(recorded: Uint8Array | undefined, inline: Uint8Array | undefined): boolean {
  return recorded === undefined || (inline !== undefined && equalBytes(recorded, inline))
}
