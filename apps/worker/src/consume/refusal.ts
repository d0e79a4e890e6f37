/** A job that can never become a file of its own: a dead letter without a file. */
export interface Refusal {
  readonly jobId: string
  readonly code: 'PAYLOAD_INVALID' | 'REQUEST_CONFLICT' | 'FLEET_MISMATCH'
  readonly reason: string
  readonly fileId?: string
  readonly fingerprint?: Buffer
}
