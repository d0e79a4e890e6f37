import { canonicalJson, signedBytes, type CanonicalValue, type RequestBody } from '@sealfleet/records'
import { createHash } from 'node:crypto'
import { pairs } from '../output/table.js'
import { humanTime } from '../output/units.js'

/** What happens when a request is carried out, as one would say it to somebody who is about to sign. */
export function deedOf({ kind, subject, detail }: Pick<RequestBody, 'kind' | 'subject' | 'detail'>): string {
  switch (kind) {
    case 'keys.destroy':
      return `DESTROY the master key ${subject.id}: what is sealed under it can never be opened again, by anybody`
    case 'file.shred':
      return `SHRED the file ${subject.id}: it can never be opened again, by anybody`
    case 'operators.add':
      return `ENROL ${subject.id} as ${plain(detail['role'])} with the public key below: from then on that key signs with yours`
    case 'operators.revoke':
      return `REVOKE the operator ${plain(detail['name'])}: none of their signatures counts from then on`
    case 'audit.adopt':
      return `ADOPT the audit log as it is now (${subject.kind} ${subject.id}): later checks begin from here`
  }
}

/** Every part of the signed bytes, in plain words; nothing that is signed is left out. */
export function describeRequest(body: RequestBody, bytes: Uint8Array): string {
  const facts: [string, string][] = [
    ['request', body.id],
    ['kind', body.kind],
    ['subject', `${body.subject.kind} ${body.subject.id}`],
    ...Object.entries(body.detail).map(([name, value]) => [`  ${name}`, plain(value)] as [string, string]),
    ['needs', `${body.required} signatures of different operators`],
    ['made', humanTime(body.createdAt)],
    ['expires', humanTime(body.expiresAt)],
    ['SHA-256', signedDigest(bytes)],
  ]
  return `${pairs([[deedOf(body), '']])}\n\n${pairs(facts)}`
}

/** Of the file that is signed, label included: `sha256sum FILE` gives the same. */
export function signedDigest(body: Uint8Array): string {
  return createHash('sha256').update(signedBytes(body)).digest('hex')
}

function plain(value: CanonicalValue | undefined): string {
  if (value === undefined) return '-'
  return typeof value === 'string' ? value : canonicalJson(value)
}
