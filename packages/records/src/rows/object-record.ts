import type { CommittedAttempt } from '../terms.js'

/** What the records say of a sealed object: readers compare it with the header and the trailer (docs/FORMAT.md §7). */
export interface ObjectRecord
  extends
    Pick<CommittedAttempt, 'suite' | 'encKeyVersion' | 'sigKeyVersion' | 'objectLength' | 'htag' | 'fmac'>,
    Partial<NonNullable<CommittedAttempt['nonces']>> {
  readonly fileId: string
  readonly attemptId: string
  readonly keyDomain: string
}

export function objectRecord(fileId: string, committed: CommittedAttempt): ObjectRecord {
  const { id: attemptId, suite, encKeyVersion, sigKeyVersion, domain: keyDomain, objectLength, htag, fmac } = committed
  const nonces = committed.nonces ?? {}
  return { fileId, attemptId, suite, encKeyVersion, sigKeyVersion, keyDomain, objectLength, htag, fmac, ...nonces }
}
