import { canonicalJson, signedBytes, type CanonicalValue, type RequestBody } from '@sealfleet/records/operators'
import { createHash } from 'node:crypto'
import type { Terminal } from '../../io.js'
import { oneLine, printable } from '../../output/printable.js'
import { pairs } from '../../output/table.js'

/** What happens when a request is carried out, as one line for a person who is about to sign; printable. */
export function describeAction({ kind, subject, detail }: Pick<RequestBody, 'kind' | 'subject' | 'detail'>): string {
  const id = printable(subject.id)
  const ofDomain = domainText(detail)
  switch (kind) {
    case 'keys.destroy':
      return `DESTROY the master key ${id}${ofDomain}: what is sealed under it can never be opened again, by anyone`
    case 'file.shred':
      return `SHRED the file ${id}${ofDomain}: it can never be opened again, by anyone`
    case 'operators.add':
      return `ENROL ${id} as ${printable(plain(detail['role']))} with the public key below: from then on that key signs with yours`
    case 'operators.revoke':
      return `REVOKE the operator ${printable(plain(detail['name']))}: none of their signatures counts from then on`
    case 'audit.adopt':
      return `ADOPT the audit log as it is now (${printable(subject.kind)} ${id}): later checks begin from here`
  }
}

/**
 * Every part of the signed bytes in plain words. Nothing that is signed is left out, and requests that differ are shown
 * differently: times to the millisecond as signed, texts by `printable`, in quotes where they could look like another
 * value. On a terminal long values are folded behind their names, so that no value begins a line.
 */
export function describeRequest(body: RequestBody, bytes: Uint8Array, terminal?: Terminal): string {
  const facts: [string, string][] = [
    ['request', body.id],
    ['version', String(body.version)],
    ['kind', body.kind],
    ['subject', `${body.subject.kind} ${body.subject.id}`],
    ...Object.entries(body.detail).map(([name, value]) => [`  ${printable(name)}`, plain(value)] as [string, string]),
    ['needs', `${body.required} signatures of different operators`],
    ['made', body.createdAt.toISOString()],
    ['expires', body.expiresAt.toISOString()],
    ['SHA-256', signedDigest(bytes)],
  ]
  const columns = terminal?.isTTY === true ? terminal.columns : undefined
  return `${describeAction(body)}\n\n${pairs(facts, { columns })}`
}

/** The domain by name and id, where a request has both. */
function domainText({ domain, domainName }: RequestBody['detail']): string {
  if (typeof domain !== 'string' || typeof domainName !== 'string') return ''
  return ` of the domain ${oneLine(JSON.stringify(domainName))} (${printable(domain)})`
}

/** Of the file that is signed, label included: `sha256sum FILE` gives the same. */
export function signedDigest(body: Uint8Array): string {
  return createHash('sha256').update(signedBytes(body)).digest('hex')
}

function plain(value: CanonicalValue | undefined): string {
  if (value === undefined) return '-'
  if (typeof value !== 'string') return canonicalJson(value)
  return readsAsJson(value) ? JSON.stringify(value) : value
}

/** A text like `5` or `{}`, which without quotes would look like the number or the object. */
function readsAsJson(text: string): boolean {
  if (text === '-' || text === '') return true
  try {
    JSON.parse(text)
    return true
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}
