import { countFailure, type Metrics } from '@sealfleet/telemetry'

import type { AttemptOutcome } from './kind.js'

/** Counts the outcome of a job of the ingest queue. */
export function countIngest(metrics: Metrics, outcome: AttemptOutcome, seconds: number): void {
  metrics.attempts.inc({ outcome: outcome.kind, code: codeOf(outcome) })
  metrics.attemptSeconds.observe({ outcome: outcome.kind }, seconds)
  if (outcome.kind === 'failed') countFailure(metrics, outcome.failed.failure)
  if (outcome.kind !== 'stored') return
  metrics.plaintextBytes.inc(outcome.object.plaintextLength)
  metrics.objectBytes.inc(outcome.object.objectLength)
}

/** Counts the outcome of a job of the rekey queue. */
export function countRekey(metrics: Metrics, outcome: AttemptOutcome, seconds: number): void {
  const label = outcome.kind === 'failed' ? FAILED[outcome.decision.action] : rekeyWord(outcome)
  metrics.rekeyAttempts.inc({ outcome: label, code: codeOf(outcome) })
  metrics.rekeySeconds.observe({ outcome: label }, seconds)
  if (outcome.kind === 'failed') countFailure(metrics, outcome.failed.failure)
  if (outcome.kind === 'stored') metrics.rekeyBytes.inc(outcome.object.plaintextLength)
}

/** The word for an item's outcome in metrics, logs and jobs. */
export function rekeyWord({ kind }: AttemptOutcome): string {
  return kind === 'stored' ? 'done' : kind
}

const FAILED = { retry: 'retried', dead: 'failed', hold: 'released', pause: 'released', record: 'released' } as const

function codeOf(outcome: AttemptOutcome): string {
  return outcome.kind === 'failed' ? outcome.failed.code : ''
}
