import { Prisma, type PinLockout } from '../generated/client.js'
import type { Queryable, Records } from '../db/records.js'

/** Identifies a PIN: the token's serial number and the PIN's configured name. Never the PIN. */
export interface PinName {
  readonly tokenSerial: string
  readonly pinId: string
}

export interface PinLockoutRow extends PinName {
  /** proven: a login has succeeded. rejected: the token refused it; no process tries it until it is cleared. */
  readonly state: 'proven' | 'rejected'
  /** The token's return value, as in 0xA0. */
  readonly ckr: number | null
  readonly setBy: string
  readonly setAt: Date
}

const COLUMNS = Prisma.raw(
  `token_serial AS "tokenSerial", pin_id AS "pinId", state::text AS state, ckr, set_by AS "setBy", set_at AS "setAt"`,
)

function lockoutRow(raw: PinLockout): PinLockoutRow {
  return {
    ...raw,
    state: raw.state === 'PROVEN' ? 'proven' : 'rejected',
    ckr: raw.ckr === null ? null : Number(raw.ckr),
  }
}

export async function getPinLockout(db: Queryable, name: PinName): Promise<PinLockoutRow | undefined> {
  const where = { tokenSerial_pinId: { tokenSerial: name.tokenSerial, pinId: name.pinId } }
  const row = await db.read(({ pinLockout }) => pinLockout.findUnique({ where }))
  return row === null ? undefined : lockoutRow(row)
}

/**
 * Sets the state of a PIN and returns the resulting one. A rejection stays until it is cleared: a success that another
 * process reports a moment later does not lift it.
 */
export async function setPinLockout(
  db: Queryable,
  input: PinName & { readonly state: 'proven' | 'rejected'; readonly ckr?: number | undefined; readonly setBy: string },
): Promise<PinLockoutRow> {
  const [row] = await db.query<PinLockout>(Prisma.sql`
    INSERT INTO hsm_latches AS l (token_serial, pin_id, state, ckr, set_by)
    VALUES (${input.tokenSerial}, ${input.pinId}, ${input.state.toUpperCase()}::latch_state, ${input.ckr ?? null}::bigint,
      ${input.setBy})
    ON CONFLICT (token_serial, pin_id) DO UPDATE
      SET state = EXCLUDED.state, ckr = EXCLUDED.ckr, set_by = EXCLUDED.set_by, set_at = EXCLUDED.set_at
      WHERE l.state <> 'REJECTED'
    RETURNING ${COLUMNS}`)
  const standing = row === undefined ? await getPinLockout(db, input) : lockoutRow(row)
  // Cleared in between: the next login decides.
  return standing ?? setPinLockout(db, input)
}

/** Lifts a lock-out, after an operator has checked the PIN. @returns whether there was one */
export async function clearPinLockout(db: Queryable, name: PinName): Promise<boolean> {
  const rows = await db.query<{ pinId: string }>(Prisma.sql`
    DELETE FROM hsm_latches WHERE token_serial = ${name.tokenSerial} AND pin_id = ${name.pinId}
    RETURNING pin_id AS "pinId"`)
  return rows.length === 1
}

/**
 * Runs `login` while no other process of the fleet does so with this PIN: a PIN not yet proven is tried by one process
 * at a time, so that a wrong one costs the token one try. Read the state again inside.
 * @throws RecordsError DB_UNAVAILABLE when its turn does not come, or the login does not end, within a minute
 */
export function underLoginLock<T>(records: Records, name: PinName, login: (tx: Queryable) => Promise<T>): Promise<T> {
  return records.transaction(
    async (tx) => {
      await tx.query(Prisma.sql`
        WITH turn AS MATERIALIZED (
          SELECT pg_advisory_xact_lock(hashtextextended(${`hsm-login ${name.tokenSerial} ${name.pinId}`}, 0)))
        SELECT 1 AS locked FROM turn`)
      return login(tx)
    },
    { timeoutMs: 60_000 },
  )
}

/** The states of all PINs, the rejected ones first. */
export async function listPinLockouts(db: Queryable): Promise<PinLockoutRow[]> {
  const query = {
    orderBy: [{ state: 'desc' }, { tokenSerial: 'asc' }, { pinId: 'asc' }],
    take: 1_000,
  } satisfies Prisma.PinLockoutFindManyArgs
  return (await db.read(({ pinLockout }) => pinLockout.findMany(query))).map(lockoutRow)
}
