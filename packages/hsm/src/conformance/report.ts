import type { TokenReport } from '../wire/admin-messages.js'
import type { Honoured } from './attributes.js'

export interface Check {
  readonly name: string
  /** `absent`: the token lacks a feature this check needs; that alone is no failure. */
  readonly outcome: 'ok' | 'failed' | 'absent'
  readonly detail: string
}

export interface ConformanceReport {
  /** Its identity, limits and mechanisms. */
  readonly token: TokenReport
  /** The vendor whose profile is used; null: the standard error table alone. */
  readonly vendor: { readonly title: string; readonly tried: boolean; readonly notes: readonly string[] } | null
  /** The outcome for each requested attribute of a master key; empty when no key could be made. */
  readonly attributes: Readonly<Record<string, Honoured>>
  readonly checks: readonly Check[]
  /** HMAC operations per second by number of callers, through a pool of two agents. */
  readonly rates: Readonly<Record<string, number>>
  /** The features of this token that Sealfleet can use. */
  readonly usable: {
    readonly sealing: boolean
    readonly detachedNonces: boolean
    /** Whether the token refused everything that it must refuse. */
    readonly evidence: boolean
  }
  readonly passed: boolean
}

const WIDTH = 110

/** The report as lines for a terminal. */
export function formatReport(report: ConformanceReport): string {
  const { token, vendor, attributes, checks, rates, usable, passed } = report
  const mark = { ok: 'ok    ', failed: 'FAILED', absent: 'absent' } as const
  const yesNo = (value: boolean) => (value ? 'yes' : 'no')
  const named = (wanted: Honoured) => Object.entries(attributes).flatMap(([name, is]) => (is === wanted ? [name] : []))
  return [
    identity(token),
    vendor === null
      ? 'profile: none of the known vendors, the standard error table'
      : `profile: ${vendor.title}${vendor.tried ? '' : ' (from its documents; never tried by us)'}`,
    ...(vendor?.notes ?? []).map((note) => `  ${note}`),
    limits(token),
    ...list(`mechanisms (${token.mechanismList.length}):`, token.mechanismList.map(mechanismName)),
    ...list('attributes honoured:', named('honoured')),
    ...list('attributes ignored:', named('ignored')),
    ...list('attributes the token does not answer for:', named('unknown')),
    ...checks.map(({ name, outcome, detail }) => `${mark[outcome]}  ${name}${detail === '' ? '' : `: ${detail}`}`),
    ...Object.entries(rates).map(([callers, rate]) => `        ${rate} HMAC/s with ${callers} callers`),
    `usable: sealing ${yesNo(usable.sealing)}, detached nonces ${yesNo(usable.detachedNonces)}, evidence ${yesNo(usable.evidence)}`,
    passed ? 'passed' : 'failed',
  ].join('\n')
}

function identity({ token }: TokenReport): string {
  const { manufacturer, model, firmware, serial, label, module, moduleVersion } = token
  return `${manufacturer} ${model}, firmware ${firmware}, serial ${serial}, label ${label}; ${module} ${moduleVersion}`
}

function limits({ limits: of }: TokenReport): string {
  const range = (size: { min: number; max: number } | null) => (size === null ? 'none' : `${size.min} to ${size.max}`)
  const sessions = `sessions ${of.maxSessions ?? 'without a stated limit'} (${of.sessions ?? '?'} open)`
  return (
    `limits: ${sessions}, PIN ${of.minPinLength} to ${of.maxPinLength}, ` +
    `HMAC-SHA-256 keys ${range(of.hmacKey)}, AES-GCM keys ${range(of.gcmKey)} (in the token's own unit)`
  )
}

function mechanismName({ number, name }: TokenReport['mechanismList'][number]): string {
  return name?.slice('CKM_'.length) ?? `0x${number.toString(16)}`
}

/** A heading with wrapped words below it; empty when there are no words. */
function list(heading: string, words: readonly string[]): string[] {
  const lines: string[] = []
  for (const word of words) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length + 2 > WIDTH) lines.push(`  ${word}`)
    else lines[lines.length - 1] = `${last}, ${word}`
  }
  return words.length === 0 ? [] : [heading, ...lines]
}
