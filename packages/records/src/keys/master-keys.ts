import { keyLabel, type MasterKeyRef, type Role } from '@sealfleet/format'
import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainFromUuid, domainToUuid } from '../db/ids.js'
import type { Queryable, Records } from '../db/records.js'
import {
  KEY_COLUMNS,
  keyRow,
  SEALING_KEY_COLUMNS,
  sealingKey,
  type RawKey,
  type RawSealingKey,
  type SealingKey,
} from './key-row.js'
import type { KeyRow, KeyState } from '../db/terms.js'

export interface KeyRegistration {
  readonly ref: MasterKeyRef
  /** 8 bytes; every role but kek. */
  readonly checkValue?: Uint8Array | undefined
  /** kek: a wrapped record that it must be able to open. Needed before the key can be active. */
  readonly checkRecord?: Uint8Array | undefined
  /** 32 bytes (docs/design/format.md §3); every role but kek. */
  readonly knownAnswer?: Uint8Array | undefined
  /** The token's evidence from the key's making; JSON, nothing secret. */
  readonly evidence?: unknown
}

/**
 * Registers a key version that exists in the HSM, as PENDING.
 * @throws RecordsError CONFLICT when that version is registered with another check value, or another version with this
 * one (a token that computes nonsense gives all keys one value); NOT_FOUND for an unknown domain
 */
export async function registerMasterKey(
  db: Queryable,
  input: KeyRegistration,
): Promise<{ readonly created: boolean; readonly key: KeyRow }> {
  const { ref } = input
  await assertOwnAnswers(db, input)
  const [row] = await db.query<RawKey>(Prisma.sql`
    INSERT INTO master_keys AS k (id, domain_id, role, suite, version, label, check_value, check_record, known_answer,
      evidence)
    VALUES (${randomUUID()}::uuid, ${domainToUuid(ref.domain)}::uuid, ${ref.role.toUpperCase()}::key_role, ${ref.suite}::int,
      ${ref.version}::int, ${keyLabel(ref)}, ${bytes(input.checkValue)}::bytea, ${bytes(input.checkRecord)}::bytea,
      ${bytes(input.knownAnswer)}::bytea, ${JSON.stringify(input.evidence ?? {})}::jsonb)
    ON CONFLICT (domain_id, role, version) DO NOTHING
    RETURNING ${KEY_COLUMNS}`)
  if (row !== undefined) return { created: true, key: keyRow(row) }
  const key = await getMasterKey(db, ref)
  const same =
    key?.suite === ref.suite && (key.checkValue === null || key.checkValue.equals(input.checkValue ?? Buffer.of()))
  if (!same) throw new RecordsError('CONFLICT', `${keyLabel(ref)} is registered with another suite or check value`)
  return { created: false, key }
}

/**
 * Two keys never have one check value or one known answer, whatever their roles, domains and versions.
 * @throws RecordsError CONFLICT
 */
export async function assertOwnAnswers(
  db: Queryable,
  { ref, checkValue, knownAnswer }: KeyRegistration,
): Promise<void> {
  const answers: Prisma.MasterKeyWhereInput[] = [
    ...(checkValue === undefined ? [] : [{ checkValue: Uint8Array.from(checkValue) }]),
    ...(knownAnswer === undefined ? [] : [{ knownAnswer: Uint8Array.from(knownAnswer) }]),
  ]
  const query = { where: { label: { not: keyLabel(ref) }, OR: answers }, select: { label: true } }
  const other = await db.read(({ masterKey }) => masterKey.findFirst(query))
  if (other === null) return
  const message = `${keyLabel(ref)} answers as ${other.label} does: the token computes nonsense, or holds one key twice`
  throw new RecordsError('CONFLICT', message, {
    fix: 'seal nothing with this token; have it examined (`npx sealfleet doctor hsm`)',
  })
}

/**
 * Registers the known answer of a version that has none. Returns as `knownAnswer` the registered one: another process's
 * if that was faster.
 * @throws RecordsError CONFLICT when another key has this answer
 */
export async function addKnownAnswer(
  db: Queryable,
  { key, knownAnswer }: { readonly key: KeyRow; readonly knownAnswer: Uint8Array },
): Promise<{ readonly added: boolean; readonly knownAnswer: Buffer | null }> {
  await assertOwnAnswers(db, { ref: key, knownAnswer })
  const [row] = await db.query<{ id: string }>(Prisma.sql`
    UPDATE master_keys SET known_answer = ${bytes(knownAnswer)}::bytea
    WHERE id = ${key.id}::uuid AND known_answer IS NULL AND state <> 'DESTROYED' RETURNING id`)
  if (row !== undefined) return { added: true, knownAnswer: Buffer.from(knownAnswer) }
  return { added: false, knownAnswer: (await getMasterKey(db, key))?.knownAnswer ?? null }
}

/**
 * Makes a PENDING version the domain's active one for its role, and retires the previous one to DECRYPT_ONLY, in one
 * transaction. Activating an ACTIVE version changes nothing. Of two concurrent rotations with the same `replaces`, one
 * wins.
 * @param input.replaces the version that must be active now; null: none must be; undefined: any
 * @throws RecordsError NOT_FOUND, BAD_STATE (retired or destroyed, or `replaces` is not the active one), INVALID
 */
export function activateMasterKey(records: Records, input: Activation): Promise<KeyRow> {
  return records.transaction((tx) => activateMasterKeyIn(tx, input))
}

export interface Activation {
  readonly ref: Omit<MasterKeyRef, 'suite'>
  readonly replaces?: number | null | undefined
}

/** {@link activateMasterKey} as part of a transaction with other statements. */
export async function activateMasterKeyIn(tx: Queryable, input: Activation): Promise<KeyRow> {
  const domainId = domainToUuid(input.ref.domain)
  const role = roleOf(input.ref.role)
  // One rotation of a domain at a time.
  await tx.query(Prisma.sql`SELECT 1 AS locked FROM key_domains WHERE id = ${domainId}::uuid FOR UPDATE`)
  const key = await getMasterKey(tx, input.ref)
  if (key === undefined) throw new RecordsError('NOT_FOUND', 'that key version is not registered')
  if (key.state === 'ACTIVE') return key
  const active = await tx.read(({ masterKey }) =>
    masterKey.findFirst({ where: { domainId, role, state: 'ACTIVE' }, select: { version: true } }),
  )
  if (input.replaces !== undefined && (active?.version ?? null) !== input.replaces)
    throw new RecordsError('BAD_STATE', `version ${active?.version ?? 'none'} is active: another rotation was faster`)
  await tx.query(Prisma.sql`
    UPDATE master_keys SET state = 'DECRYPT_ONLY', retired_at = clock_timestamp()
    WHERE domain_id = ${domainId}::uuid AND role = ${role}::key_role AND state = 'ACTIVE' RETURNING id`)
  const [row] = await tx.query<RawKey>(Prisma.sql`
    UPDATE master_keys k SET state = 'ACTIVE', activated_at = clock_timestamp()
    WHERE k.id = ${key.id}::uuid RETURNING ${KEY_COLUMNS}`)
  if (row === undefined) throw new RecordsError('NOT_FOUND', 'that key version is gone')
  return keyRow(row)
}

export interface KeyFilter {
  readonly domain?: string | undefined
  readonly role?: Role | undefined
  readonly state?: KeyState | undefined
}

/** By domain, role and version. */
export async function listMasterKeys(db: Queryable, filter: KeyFilter = {}): Promise<KeyRow[]> {
  const query = {
    where: {
      ...(filter.domain !== undefined && { domainId: domainToUuid(filter.domain) }),
      ...(filter.role !== undefined && { role: roleOf(filter.role) }),
      ...(filter.state !== undefined && { state: filter.state }),
    },
    orderBy: [{ domainId: 'asc' }, { role: 'asc' }, { version: 'asc' }],
  } satisfies Prisma.MasterKeyFindManyArgs
  return (await db.read(({ masterKey }) => masterKey.findMany(query))).map(keyRow)
}

export async function getMasterKey(db: Queryable, ref: Omit<MasterKeyRef, 'suite'>): Promise<KeyRow | undefined> {
  const { version } = ref
  const where = { domainId_role_version: { domainId: domainToUuid(ref.domain), role: roleOf(ref.role), version } }
  const row = await db.read(({ masterKey }) => masterKey.findUnique({ where }))
  return row === null ? undefined : keyRow(row)
}

function roleOf(role: Role): Uppercase<Role> {
  return role.toUpperCase() as Uppercase<Role>
}

export interface ActiveKeys {
  readonly enc: SealingKey
  readonly sig: SealingKey
  /** Only if the domain has one. */
  readonly kek?: SealingKey
}

/**
 * The keys that seal a new attempt of a domain.
 * @throws RecordsError NO_ACTIVE_KEY: none for a role; enc and sig of different suites; detached nonces without a kek
 */
export async function activeKeys(db: Queryable, domain: string): Promise<ActiveKeys> {
  const id = domainToUuid(domain)
  const rows = await db.query<RawSealingKey & { readonly detached: boolean }>(Prisma.sql`
    SELECT ${SEALING_KEY_COLUMNS}, d.nonce_mode = 'DETACHED' AS detached FROM master_keys k JOIN key_domains d ON d.id = k.domain_id
    WHERE k.domain_id = ${id}::uuid AND k.state = 'ACTIVE' AND k.role IN ('ENC', 'SIG', 'KEK')`)
  const of = (role: RawKey['role']): SealingKey | undefined => {
    const found = rows.find((row) => row.role === role)
    return found && sealingKey(found, domainFromUuid(id))
  }
  const [enc, sig, kek] = [of('ENC'), of('SIG'), of('KEK')]
  if (enc === undefined || sig === undefined) throw none(domain, enc === undefined ? 'enc' : 'sig')
  if (enc.suite !== sig.suite)
    throw new RecordsError('NO_ACTIVE_KEY', `the active enc and sig keys of domain ${domain} are of different suites`, {
      fix: 'give it a pair of one suite: `npx sealfleet keys rotate`',
    })
  if (kek === undefined && rows[0]?.detached === true) throw none(domain, 'kek')
  return { enc, sig, ...(kek !== undefined && { kek }) }
}

function none(domain: string, role: string): RecordsError {
  return new RecordsError('NO_ACTIVE_KEY', `domain ${domain} has no active ${role} key`, {
    fix: 'see `npx sealfleet keys list`; make keys with `npx sealfleet keys init`',
  })
}

function bytes(value: Uint8Array | undefined): Buffer | null {
  return value === undefined ? null : Buffer.from(value)
}
