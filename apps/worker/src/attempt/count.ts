import { countFailure, type Metrics } from '@sealfleet/telemetry'

import type { IngestOutcome } from './ingest.js'

export function countIngest(metrics: Metrics, outcome: IngestOutcome, seconds: number): void {
  const code = outcome.kind === 'failed' ? outcome.failed.code : ''
  metrics.attempts.inc({ outcome: outcome.kind, code })
  metrics.attemptSeconds.observe({ outcome: outcome.kind }, seconds)
  if (outcome.kind === 'failed') countFailure(metrics, outcome.failed.failure)
  if (outcome.kind === 'stored') {
    metrics.plaintextBytes.inc(outcome.object.plaintextLength)
    metrics.objectBytes.inc(outcome.object.objectLength)
  }
}
