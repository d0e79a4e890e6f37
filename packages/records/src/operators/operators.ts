import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import type { CanonicalObject } from './canonical-json.js'
import type { OperatorRole } from './request-kinds.js'
import { assertPublicKey } from './public-key.js'
import { OPERATOR_COLUMNS, operatorRow, type OperatorRow, type RawOperator } from './operator-row.js'
import { consumeRequest } from './consume-request.js'

export interface NewOperator {
  /** 1 to 100 characters; unique among operators who were not revoked. */
  readonly name: string
  readonly role: OperatorRole
  /** 32 bytes, raw; never used before by any operator. */
  readonly publicKey: Uint8Array
  readonly enrolledBy: string
  /** Needed once there are two officers. */
  readonly requestId?: string | undefined
}

/** From this number on, enrolment and revocation need signatures, and at least this many officers always stay. */
export const FREE_OFFICERS = 2

/** The text that officers sign to enrol an operator (kind `operators.add`, subject `operator NAME`). */
export function enrolmentDetail(input: Pick<NewOperator, 'role' | 'publicKey'>): CanonicalObject {
  return { publicKey: Buffer.from(input.publicKey).toString('hex'), role: input.role }
}

/**
 * Checks whether a person of that name and key may be enrolled at all, so that officers never sign a request that would
 * be refused. Operators are locked until the transaction ends. @throws RecordsError INVALID (name or key), CONFLICT
 * (name taken, or the key was enrolled before)
 */
export async function assertEnrollable(tx: Queryable, input: Pick<NewOperator, 'name' | 'publicKey'>): Promise<void> {
  const { name, publicKey } = input
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,99}$/u.test(name) || isUuid(name)) {
    throw new RecordsError('INVALID', 'an operator’s name is of letters, digits, spaces and . _ @ -, and is no UUID')
  }
  assertPublicKey(publicKey)
  await lockOperators(tx)
  await assertFree(tx, input)
}

/**
 * Enrols an operator, inside the caller's transaction; the audit log has a row. While there are fewer than two
 * officers, it needs no signature (there are not enough people to ask); afterwards it needs a request that officers
 * signed for this name, key and role.
 * @throws RecordsError INVALID (name or key), CONFLICT (name taken, or the key was enrolled before), REQUEST_NEEDED,
 * and the errors of consumeRequest
 */
export async function addOperator(tx: Queryable, input: NewOperator): Promise<OperatorRow> {
  const { name, role, publicKey, enrolledBy, requestId } = input
  await assertEnrollable(tx, input)
  if (requestId !== undefined) {
    const subject = { kind: 'operator', id: name }
    const detail = enrolmentDetail(input)
    await consumeRequest(tx, { id: requestId, kind: 'operators.add', subject, detail, consumedBy: enrolledBy })
  } else if ((await countOfficers(tx)) >= FREE_OFFICERS) throw requestNeeded('enrolment')
  const [row] = await tx.query<RawOperator>(Prisma.sql`
    WITH o AS (
      INSERT INTO operators (id, name, role, public_key, enrolled_by, enrolled_at, request_id)
      VALUES (${randomUUID()}::uuid, ${name}, ${role.toUpperCase()}::operator_role, ${Buffer.from(publicKey)}::bytea,
        ${enrolledBy}, clock_timestamp(), ${requestId ?? null}::uuid)
      RETURNING *
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${enrolledBy}, 'operators.add', 'operator', o.id::text, jsonb_build_object('name', o.name, 'role', o.role,
        'publicKey', encode(o.public_key, 'hex'), 'request', o.request_id)
      FROM o
    )
    SELECT ${OPERATOR_COLUMNS} FROM o`)
  if (row === undefined) throw new TypeError('an INSERT returns its row')
  return operatorRow(row)
}

export interface Revocation {
  /** Name or id. */
  readonly operator: string
  readonly revokedBy: string
  /** The signed request. */
  readonly reason: string
  /** Needed once there are two officers. */
  readonly requestId?: string | undefined
}

/** The text that officers sign to revoke an operator (kind `operators.revoke`, subject `operator ID`). */
export function revocationDetail({ name, publicKey }: OperatorRow, reason: string): CanonicalObject {
  return { name, publicKey: publicKey.toString('hex'), reason }
}

/**
 * Revokes an operator, inside the caller's transaction: from then on none of their signatures counts, including those
 * on open requests. The audit log has a row. Once there were two officers, two always stay: the successor is enrolled
 * first.
 * @throws RecordsError OPERATOR_UNKNOWN, OPERATOR_REVOKED, OPERATOR_NEEDED, REQUEST_NEEDED, and the errors of
 * consumeRequest
 */
export async function revokeOperator(tx: Queryable, input: Revocation): Promise<OperatorRow> {
  const { revokedBy, reason, requestId } = input
  await lockOperators(tx)
  const operator = await getOperator(tx, input.operator)
  if (operator === undefined) throw new RecordsError('OPERATOR_UNKNOWN', `there is no operator ${input.operator}`)
  const { id, name, role, revokedAt } = operator
  if (revokedAt !== null)
    throw new RecordsError('OPERATOR_REVOKED', `${name} was revoked at ${revokedAt.toISOString()}`)
  const officers = await countOfficers(tx)
  if (role === 'officer' && officers === FREE_OFFICERS) throw tooFew(name)
  if (requestId !== undefined) {
    const [subject, detail] = [{ kind: 'operator', id }, revocationDetail(operator, reason)]
    await consumeRequest(tx, { id: requestId, kind: 'operators.revoke', subject, detail, consumedBy: revokedBy })
  } else if (officers >= FREE_OFFICERS) throw requestNeeded('revocation')
  const [row] = await tx.query<RawOperator>(Prisma.sql`
    WITH o AS (
      UPDATE operators SET revoked_at = clock_timestamp(), revoked_by = ${revokedBy}
      WHERE id = ${id}::uuid AND revoked_at IS NULL
      RETURNING *
    ), noted AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT ${revokedBy}, 'operators.revoke', 'operator', o.id::text, jsonb_build_object('name', o.name, 'role', o.role,
        'publicKey', encode(o.public_key, 'hex'), 'request', ${requestId ?? null}::text, 'reason', ${reason}::text)
      FROM o
    )
    SELECT ${OPERATOR_COLUMNS} FROM o`)
  if (row === undefined) throw new RecordsError('OPERATOR_REVOKED', `${name} was revoked meanwhile`)
  return operatorRow(row)
}

/** By name; revoked operators last. */
export async function listOperators(db: Queryable): Promise<OperatorRow[]> {
  const query = { orderBy: [{ name: 'asc' }, { enrolledAt: 'asc' }] } satisfies Prisma.OperatorFindManyArgs
  const rows = (await db.read(({ operator }) => operator.findMany(query))).map(operatorRow)
  return [...rows.filter(isActive), ...rows.filter((row) => !isActive(row))]
}

function isActive({ revokedAt }: OperatorRow): boolean {
  return revokedAt === null
}

/**
 * By name or id; of several with one name the one who was not revoked, else the latest. Undefined when there is none.
 */
export async function getOperator(db: Queryable, nameOrId: string): Promise<OperatorRow | undefined> {
  const query = {
    where: { OR: [{ name: nameOrId }, ...(isUuid(nameOrId) ? [{ id: nameOrId }] : [])] },
    orderBy: { enrolledAt: 'desc' },
  } satisfies Prisma.OperatorFindManyArgs
  const rows = (await db.read(({ operator }) => operator.findMany(query))).map(operatorRow)
  return rows.find(isActive) ?? rows[0]
}

/** Officers who were not revoked. */
export function countOfficers(db: Queryable): Promise<number> {
  return db.read(({ operator }) => operator.count({ where: { role: 'OFFICER', revokedAt: null } }))
}

async function assertFree(tx: Queryable, { name, publicKey }: Pick<NewOperator, 'name' | 'publicKey'>): Promise<void> {
  const [taken] = await tx.query<{ name: string; sameKey: boolean; revoked: boolean }>(Prisma.sql`
    SELECT name, public_key = ${Buffer.from(publicKey)}::bytea AS "sameKey", revoked_at IS NOT NULL AS revoked FROM operators
    WHERE public_key = ${Buffer.from(publicKey)}::bytea OR (name = ${name} AND revoked_at IS NULL) LIMIT 1`)
  if (taken === undefined) return
  const was = taken.revoked ? ', who was revoked' : ''
  throw taken.sameKey
    ? new RecordsError('CONFLICT', `that public key is ${taken.name}’s${was}`, {
        fix: 'every operator has a key of their own',
      })
    : new RecordsError('CONFLICT', `there is an operator ${name}`, {
        fix: 'choose another name, or revoke that one first',
      })
}

/** One enrolment or revocation at a time: two at once would both find one officer. */
async function lockOperators(tx: Queryable): Promise<void> {
  await tx.query(Prisma.sql`
    WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended('operators', 0))) SELECT 1 AS locked FROM turn`)
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
}

function requestNeeded(what: string): RecordsError {
  return new RecordsError('REQUEST_NEEDED', `with two officers or more, ${what} needs a request that they signed`, {
    fix: 'run the command without --request to make one; have it signed; run it again with --request ID',
  })
}

function tooFew(name: string): RecordsError {
  return new RecordsError(
    'OPERATOR_NEEDED',
    `without ${name} only one officer would be left, and nothing could be signed`,
    {
      fix: 'enrol a successor first',
    },
  )
}
