import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { maySign, type OperatorRole } from './request-kinds.js'
import { signatureFits } from './signature.js'
import type { RequestRow } from './request-row.js'

interface StoredSignature {
  readonly name: string
  readonly role: Uppercase<OperatorRole>
  readonly publicKey: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Names of the signers whose signatures count, or counted when the request was used: each verified again over its
 * bytes, of the right role, each key once. Only the bytes and the operators' keys are trusted.
 * @param o lock: operators are locked, so that a revocation comes before or after, never between; needs the right to
 * change them
 */
export async function requestSigners(
  db: Queryable,
  { id, kind, body, consumedAt }: Pick<RequestRow, 'id' | 'kind' | 'body' | 'consumedAt'>,
  o: { readonly lock: boolean },
): Promise<readonly string[]> {
  const stored = await db.query<StoredSignature>(Prisma.sql`
    SELECT o.name, o.role::text AS role, o.public_key AS "publicKey", s.signature
    FROM request_signatures s JOIN operators o ON o.id = s.operator_id
    WHERE s.request_id = ${id}::uuid AND (o.revoked_at IS NULL OR o.revoked_at > ${consumedAt?.toISOString() ?? null}::timestamptz)
    ORDER BY s.signed_at, o.name ${o.lock ? Prisma.sql`FOR SHARE OF o` : Prisma.empty}`)
  const counted = new Map<string, string>()
  for (const { name, role, publicKey, signature } of stored) {
    if (!maySign(role.toLowerCase() as OperatorRole, kind) || !fits(publicKey, body, signature)) continue
    // By key, not by row: a second operator row with the same key is still one person.
    counted.set(Buffer.from(publicKey).toString('hex'), name)
  }
  return [...counted.values()]
}

/** An invalid key in the database signs nothing. */
function fits(publicKey: Uint8Array, body: Uint8Array, signature: Uint8Array): boolean {
  try {
    return signatureFits({ publicKey, body, signature })
  } catch (error) {
    if (error instanceof RecordsError) return false
    throw error
  }
}
