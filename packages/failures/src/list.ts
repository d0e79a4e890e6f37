import { CONTROL, UNCLASSIFIED } from './control.js'
import { BROKEN_INFRASTRUCTURE, TRANSIENT_INFRASTRUCTURE } from './infrastructure.js'
import { INTEGRITY } from './integrity.js'
import { PERMANENT_REQUEST } from './request.js'
import { PERMANENT_SOURCE, TRANSIENT_SOURCE } from './source.js'
import type { Failure, FailureEntry } from './terms.js'

const ENTRIES = {
  ...TRANSIENT_INFRASTRUCTURE,
  ...BROKEN_INFRASTRUCTURE,
  ...TRANSIENT_SOURCE,
  ...PERMANENT_SOURCE,
  ...PERMANENT_REQUEST,
  ...INTEGRITY,
  ...CONTROL,
  ...UNCLASSIFIED,
}

export type FailureCode = keyof typeof ENTRIES

/** All codes. No other code exists; a test keeps docs/operate/runbook.md complete. */
export const FAILURE_CODES = Object.keys(ENTRIES) as readonly FailureCode[]

/** The closed list of failures (ARCHITECTURE §5): class, policy, exit status, owner, runbook section. */
export const FAILURES: Readonly<Record<FailureCode, Failure & { readonly code: FailureCode }>> = Object.freeze(
  Object.fromEntries(
    Object.entries<FailureEntry>(ENTRIES).map(([code, entry]) => [
      code,
      Object.freeze({ code, runbook: anchor(code), ...entry }),
    ]),
  ) as Record<FailureCode, Failure & { code: FailureCode }>,
)

export function isFailureCode(value: unknown): value is FailureCode {
  return typeof value === 'string' && Object.hasOwn(ENTRIES, value)
}

function anchor(code: string): string {
  return `docs/operate/runbook.md#${code.toLowerCase()}`
}
