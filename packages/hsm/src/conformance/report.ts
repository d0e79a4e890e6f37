import type { TokenReport } from '../wire/admin-messages.js'

export interface Check {
  readonly name: string
  /** `absent`: the token lacks what this needs; that alone fails nothing. */
  readonly outcome: 'ok' | 'failed' | 'absent'
  readonly detail: string
}

export interface ConformanceReport {
  readonly token: TokenReport
  readonly checks: readonly Check[]
  /** HMAC operations a second with so many callers, through a pool of two agents. */
  readonly rates: Readonly<Record<string, number>>
  /** What Sealfleet can use of this token. */
  readonly usable: {
    readonly sealing: boolean
    readonly detachedNonces: boolean
    /** Whether the token refused all that it must refuse. */
    readonly evidence: boolean
  }
  readonly passed: boolean
}

/** The report as lines for a terminal. */
export function formatReport({ token: { token }, checks, rates, usable, passed }: ConformanceReport): string {
  const mark = { ok: 'ok    ', failed: 'FAILED', absent: 'absent' } as const
  const yesNo = (value: boolean) => (value ? 'yes' : 'no')
  return [
    `${token.manufacturer} ${token.model}, firmware ${token.firmware}, serial ${token.serial}, label ${token.label}`,
    ...checks.map(({ name, outcome, detail }) => `${mark[outcome]}  ${name}${detail === '' ? '' : `: ${detail}`}`),
    ...Object.entries(rates).map(([callers, rate]) => `        ${rate} HMAC/s with ${callers} callers`),
    `usable: sealing ${yesNo(usable.sealing)}, detached nonces ${yesNo(usable.detachedNonces)}, evidence ${yesNo(usable.evidence)}`,
    passed ? 'passed' : 'failed',
  ].join('\n')
}
