import { FAILURES, type FailureCode } from '@sealfleet/failures'
import type { Records } from '@sealfleet/records'
import { recordRefusal } from '@sealfleet/records/files'

/** A job that can never become a file of its own: a dead letter without a file. */
export interface Refusal {
  readonly jobId: string
  readonly code: FailureCode
  readonly reason: string
  readonly fileId?: string
  readonly fingerprint?: Uint8Array
}

/** Records a request that cannot become a file as a dead letter. */
export async function refuseRequest(records: Records, { fileId, fingerprint, ...refusal }: Refusal): Promise<void> {
  await recordRefusal(records, {
    ...refusal,
    class: FAILURES[refusal.code].class,
    fileId,
    requestFingerprint: fingerprint,
    owner: FAILURES[refusal.code].owner,
  })
}
