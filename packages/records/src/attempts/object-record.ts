import type { CommittedAttempt } from '../db/terms.js'

/**
 * The recorded properties of a sealed object: readers compare them with the header and the trailer (docs/design/format.md §8).
 */
export interface ObjectRecord
  extends
    Pick<
      CommittedAttempt,
      | 'suite'
      | 'attemptNo'
      | 'segLog2'
      | 'encKeyVersion'
      | 'sigKeyVersion'
      | 'objectLength'
      | 'plaintextLength'
      | 'htag'
      | 'fmac'
    >,
    Partial<NonNullable<CommittedAttempt['nonces']>> {
  readonly fileId: string
  readonly attemptId: string
  readonly keyDomain: string
  readonly nonceMode: 'inline' | 'detached'
}

export function objectRecord(fileId: string, committed: CommittedAttempt): ObjectRecord {
  const { id: attemptId, domain: keyDomain, suite, attemptNo, segLog2, encKeyVersion, sigKeyVersion } = committed
  const { objectLength, plaintextLength, htag, fmac, wrappedNonces } = committed
  return {
    ...{ fileId, attemptId, keyDomain, suite, attemptNo, segLog2, encKeyVersion, sigKeyVersion },
    ...{ objectLength, plaintextLength, htag, fmac },
    nonceMode: wrappedNonces === null ? 'inline' : 'detached',
    ...committed.nonces,
  }
}
