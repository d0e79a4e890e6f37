import { describeError } from '../../describe-error.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'

/** The result of one check. `warning`: works, but needs attention. `skipped`: a dependency of the check had failed. */
export interface CheckResult {
  readonly check: string
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped'
  readonly detail: string
  readonly code?: string
  readonly fix?: string
  /** How long it took, milliseconds. */
  readonly ms?: number
  readonly exitStatus: ExitStatus
}

export function ok(check: string, detail: string): CheckResult {
  return { check, state: 'ok', detail, exitStatus: EXIT.done }
}

export function warning(check: string, detail: string, fix: string): CheckResult {
  return { check, state: 'warning', detail, fix, exitStatus: EXIT.done }
}

export function skipped(check: string, detail: string): CheckResult {
  return { check, state: 'skipped', detail, exitStatus: EXIT.done }
}

export function failed(check: string, error: unknown, during?: 'hsm' | 's3' | 'database' | 'redis'): CheckResult {
  const { code, message, lines = [], fix: advice, exitStatus } = describeError(error, during)
  // The user already runs the doctor, so drop the advice to run it.
  const fix = advice?.replace(/^Run `npx sealfleet doctor`; (.)/, (_, first: string) => first.toUpperCase())
  return {
    check,
    state: 'failed',
    detail: [message, ...lines].join('\n'),
    code,
    exitStatus,
    ...(fix === undefined ? {} : { fix }),
  }
}

/** 6 when a dependency is out of reach; else the status that all failures share, else 1. */
export function doctorStatus(findings: readonly CheckResult[]): ExitStatus {
  const statuses = new Set(findings.filter(({ state }) => state === 'failed').map(({ exitStatus }) => exitStatus))
  if (statuses.size === 0) return EXIT.done
  if (statuses.has(EXIT.unreachable)) return EXIT.unreachable
  const [only] = statuses
  return statuses.size === 1 && only !== undefined ? only : EXIT.failed
}
