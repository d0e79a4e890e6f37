import { countFailure, type Metrics } from '@sealfleet/telemetry'

import type { RekeyOutcome } from './rekey-item.js'

export function countRekey(metrics: Metrics, outcome: RekeyOutcome, seconds: number): void {
  const code = outcome.kind === 'failed' ? outcome.failed.code : ''
  const kind = outcome.kind === 'failed' ? FAILED[outcome.decision.action] : outcome.kind
  metrics.rekeyAttempts.inc({ outcome: kind, code })
  metrics.rekeySeconds.observe({ outcome: kind }, seconds)
  if (outcome.kind === 'failed') countFailure(metrics, outcome.failed.failure)
  if (outcome.kind === 'done') metrics.rekeyBytes.inc(outcome.object.plaintextLength)
}

const FAILED = { retry: 'retried', dead: 'failed', hold: 'released', pause: 'released', record: 'released' } as const
