/** The rows of one file as the invariants and keys of a protocol look at them. */
import { Prisma } from '../../src/generated/client.js'
import type { Db } from './explore.js'
import { must } from './workers.js'

interface AttemptLook {
  readonly no: number
  readonly id: string
  readonly state: string
  readonly owner: string
  readonly swept: boolean
}

export interface Look {
  readonly state: string
  readonly generation: number
  readonly lastAttemptNo: number
  readonly owner: string | null
  /** The lease has not run out. */
  readonly live: boolean
  readonly crashes: number
  readonly committedId: string | null
  readonly attempts: readonly AttemptLook[]
  readonly letters: readonly { readonly id: string; readonly state: string; readonly generation: number }[]
  readonly failures: readonly { readonly no: number; readonly code: string; readonly disposition: string }[]
  readonly commitRows: number
  readonly items: readonly {
    readonly state: string
    readonly owner: string | null
    readonly live: boolean
    readonly no: number | null
    readonly tries: number
  }[]
}

export async function look(db: Db, fileId: string): Promise<Look> {
  const [row] = await db.query<{ look: Look }>(Prisma.sql`
    SELECT json_build_object('state', f.state, 'generation', f.generation, 'lastAttemptNo', f.last_attempt_no,
      'owner', f.lease_owner, 'live', coalesce(f.lease_expires_at > clock_timestamp(), false), 'crashes', f.crashes,
      'committedId', f.committed_attempt_id,
      'attempts', (SELECT coalesce(json_agg(json_build_object('no', attempt_no, 'id', id, 'state', state, 'owner', owner,
        'swept', swept_at IS NOT NULL) ORDER BY attempt_no), '[]') FROM attempts WHERE file_id = f.id),
      'letters', (SELECT coalesce(json_agg(json_build_object('id', id, 'state', state, 'generation', generation)
        ORDER BY generation), '[]') FROM dead_letters WHERE file_id = f.id),
      'failures', (SELECT coalesce(json_agg(json_build_object('no', attempt_no, 'code', code, 'disposition', disposition)
        ORDER BY attempt_no, code), '[]') FROM failures WHERE file_id = f.id),
      'commitRows', (SELECT count(*) FROM audit_log WHERE subject_id = f.id::text AND action IN ('file.commit', 'file.rekey')),
      'items', (SELECT coalesce(json_agg(json_build_object('state', state, 'owner', lease_owner,
        'live', coalesce(lease_expires_at > clock_timestamp(), false), 'no', attempt_no, 'tries', tries)), '[]')
        FROM rekey_items WHERE file_id = f.id)) AS look
    FROM files f WHERE f.id = ${fileId}::uuid`)
  must(row !== undefined, 'the file is gone')
  return row.look
}

/** Without the ids, which are random. */
export function keyOf({ committedId, attempts, letters, ...rest }: Look): unknown {
  return [
    rest,
    attempts.find(({ id }) => id === committedId)?.no,
    attempts.map(({ no, state, owner, swept }) => [no, state, owner, swept]),
    letters.map(({ state, generation }) => [state, generation]),
  ]
}

/** What holds after every step, whatever the steps were. */
export function assertSound(now: Look): void {
  const committed = now.attempts.filter(({ state }) => state === 'COMMITTED')
  must(committed.length <= 1, 'two committed attempts')
  const stored = now.state === 'STORED' || now.state === 'DELETED'
  must(stored === (committed.length === 1), `${now.state} with ${committed.length} committed attempts`)
  must(now.committedId === (committed[0]?.id ?? null), 'the file names another attempt than the committed one')
  must(new Set(now.attempts.map(({ no }) => no)).size === now.attempts.length, 'two attempts of one number')
  must(
    now.attempts.every(({ no }) => no <= now.lastAttemptNo),
    'an attempt beyond the last number',
  )
  must((now.state === 'RUNNING') === (now.owner !== null), `${now.state} with the owner ${now.owner}`)
  must(
    now.attempts.every(({ state, swept }) => !swept || state !== 'OPEN'),
    'data of an open attempt were removed',
  )
  must(
    now.state !== 'STORED' || committed.every(({ swept }) => !swept),
    'data of the committed attempt of a stored file were removed',
  )
  const openLetters = now.letters.filter(({ state }) => state === 'OPEN').length
  must(openLetters === (now.state === 'DEAD' ? 1 : 0), `${now.state} with ${openLetters} open letters`)
  const succeeded = now.attempts.filter(({ state }) => state === 'COMMITTED' || state === 'SUPERSEDED').length
  must(now.commitRows === succeeded, `${succeeded} commits with ${now.commitRows} rows in the audit log`)
}

/** What no step may turn back. */
export function assertForward(before: Look, now: Look): void {
  must(now.lastAttemptNo >= before.lastAttemptNo, 'attempt numbers went back')
  must(now.generation >= before.generation, 'generations went back')
  for (const { id, state } of before.attempts) {
    const then = now.attempts.find((attempt) => attempt.id === id)
    must(then !== undefined, 'an attempt is gone')
    if (state !== 'OPEN' && state !== 'COMMITTED')
      must(then.state === state, `an attempt went from ${state} to ${then.state}`)
    if (state === 'COMMITTED')
      must(['COMMITTED', 'SUPERSEDED'].includes(then.state), `an attempt went from COMMITTED to ${then.state}`)
  }
  if (before.state === 'STORED') must(['STORED', 'DELETED'].includes(now.state), `a stored file is ${now.state}`)
  if (before.state === 'DELETED') must(now.state === 'DELETED', `a deleted file is ${now.state}`)
}
