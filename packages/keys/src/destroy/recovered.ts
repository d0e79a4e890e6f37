import type { CanonicalObject, CanonicalValue } from '@sealfleet/records/operators'
import type { RecoveredDestruction } from '@sealfleet/records/recovery'

import type { VerifiedDestruction } from './record.js'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * The row of a destruction rebuilt from its signed record; undefined when a field is missing, which never happens in
 * our own records.
 * @param storeKey the location of the copy that was read
 */
export function recoveredDestruction(
  { record, destroyedAt, auditKeyVersion, bytes, mac }: VerifiedDestruction,
  storeKey: string,
): RecoveredDestruction | undefined {
  const { id, shred, reason, backups, scheduledBy, references } = record
  const [scheduledAt, executeAfter] = [time(record['scheduledAt']), time(record['executeAfter'])]
  const whole =
    typeof id === 'string' &&
    UUID.test(id) &&
    typeof shred === 'boolean' &&
    typeof reason === 'string' &&
    typeof backups === 'string' &&
    typeof scheduledBy === 'string' &&
    [reason, backups].every((text) => text !== '')
  if (!whole || scheduledAt === undefined || executeAfter === undefined) return undefined
  return {
    ...{ id, shred, reason, backups, scheduledBy, scheduledAt, executeAfter, storeKey },
    ...{ carriedOutAt: destroyedAt, references: countsOf(references), record: bytes, auditKeyVersion, mac },
  }
}

/** The row's part of the uses: the list of the first hundred is in the record. */
function countsOf(references: CanonicalValue | undefined): CanonicalObject {
  if (typeof references !== 'object' || references === null || Array.isArray(references)) return {}
  return Object.fromEntries(Object.entries(references).filter(([name]) => name !== 'first'))
}

function time(value: CanonicalValue | undefined): Date | undefined {
  const date = typeof value === 'string' ? new Date(value) : undefined
  return date === undefined || Number.isNaN(date.getTime()) ? undefined : date
}
