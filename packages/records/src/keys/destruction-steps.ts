import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/**
 * Records that the tokens are about to destroy the key, before they do: after a crash, the destruction cannot be
 * cancelled without checking them. Not in the transaction that carries it out, whose rollback must not undo this. False
 * when it was cancelled or carried out meanwhile.
 */
export async function beginDestruction(db: Queryable, destructionId: string): Promise<boolean> {
  const rows = await db.query<{ id: string }>(Prisma.sql`
    UPDATE destructions SET begun_at = coalesce(begun_at, clock_timestamp())
    WHERE id = ${uuid(destructionId, 'the destruction id')}::uuid AND cancelled_at IS NULL AND carried_out_at IS NULL
    RETURNING id`)
  return rows.length === 1
}

/** Records why the destruction was not carried out this time. */
export async function refuseDestruction(
  db: Queryable,
  { destructionId, refusal }: { readonly destructionId: string; readonly refusal: unknown },
): Promise<void> {
  await db.query(Prisma.sql`
    UPDATE destructions SET last_refusal =
      ${JSON.stringify(refusal)}::jsonb || jsonb_build_object('at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    WHERE id = ${uuid(destructionId, 'the destruction id')}::uuid AND carried_out_at IS NULL RETURNING id`)
}

/** The database's clock. */
export async function databaseTime(db: Queryable): Promise<Date> {
  const [row] = await db.query<{ now: Date }>(Prisma.sql`SELECT clock_timestamp() AS now`)
  if (row === undefined) throw new TypeError('a clock has a time')
  return row.now
}

export interface CompletionInput {
  readonly destructionId: string
  readonly at: Date
  readonly record: Uint8Array
  readonly auditKeyVersion: number
  readonly mac: Uint8Array
  readonly storeKey: string
}

/** Makes the key DESTROYED, permanently, and stores the record. Call it in the transaction that holds the key's row. */
export async function completeDestruction(tx: Queryable, input: CompletionInput): Promise<boolean> {
  const rows = await tx.query<{ id: string }>(Prisma.sql`
    WITH d AS (
      UPDATE destructions SET carried_out_at = ${input.at}::timestamptz, record = ${Buffer.from(input.record)}::bytea,
        audit_key_version = ${input.auditKeyVersion}::int, mac = ${Buffer.from(input.mac)}::bytea, store_key = ${input.storeKey}
      WHERE id = ${uuid(input.destructionId, 'the destruction id')}::uuid AND cancelled_at IS NULL AND carried_out_at IS NULL
      RETURNING key_id
    )
    UPDATE master_keys k SET state = 'DESTROYED', destroyed_at = ${input.at}::timestamptz
    FROM d WHERE k.id = d.key_id AND k.state = 'DESTROY_SCHEDULED' RETURNING k.id`)
  return rows.length === 1
}

/** Records that the copy is in the store. */
export async function markCopied(db: Queryable, destructionId: string): Promise<void> {
  await db.query(Prisma.sql`
    UPDATE destructions SET copied_at = clock_timestamp()
    WHERE id = ${uuid(destructionId, 'the destruction id')}::uuid AND copied_at IS NULL RETURNING id`)
}

/** Whether this transaction alone carries this destruction out; false at once when another one does. */
export async function claimDestruction(tx: Queryable, destructionId: string): Promise<boolean> {
  const [row] = await tx.query<{ mine: boolean }>(Prisma.sql`
    SELECT pg_try_advisory_xact_lock(hashtextextended('sealfleet destruction ' || ${uuid(destructionId, 'the destruction id')}, 0)) AS mine`)
  return row?.mine === true
}

/** A signature under the request of a destruction, as in the record. */
export interface SignatureEvidence {
  readonly operatorId: string
  readonly name: string
  readonly publicKey: Buffer
  readonly signature: Buffer
  readonly signedAt: Date
}

/** The signers of a request, oldest first, with everything needed to verify their signatures. */
export async function signatureEvidence(db: Queryable, requestId: string): Promise<SignatureEvidence[]> {
  const query = {
    where: { requestId: uuid(requestId, 'the request id') },
    select: { signature: true, signedAt: true, operator: { select: { id: true, name: true, publicKey: true } } },
    orderBy: [{ signedAt: 'asc' }, { operatorId: 'asc' }],
  } satisfies Prisma.RequestSignatureFindManyArgs
  const rows = await db.read(({ requestSignature }) => requestSignature.findMany(query))
  return rows.map(({ operator, signature, signedAt }) => ({
    operatorId: operator.id,
    name: operator.name,
    publicKey: Buffer.from(operator.publicKey),
    signature: Buffer.from(signature),
    signedAt,
  }))
}
