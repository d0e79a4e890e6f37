import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** The fleet that this database belongs to; a migration made its id. */
export interface Fleet {
  readonly id: string
  /** Fleets whose queues and bucket this one took over (`sealfleet fleet adopt`): their jobs belong to it. */
  readonly tookOver: readonly string[]
  readonly createdAt: Date
}

const FLEET = Prisma.sql`id::text, took_over::text[] AS "tookOver", created_at AS "createdAt"`

export async function getFleet(db: Queryable): Promise<Fleet> {
  const fleet = await db.read((models) => models.fleet.findFirst({ omit: { singleton: true } }))
  if (fleet === null) throw new TypeError('the database has no fleet row, which a migration makes')
  return fleet
}

/** Records that this fleet took over from another. A second call changes nothing. */
export async function rememberTakenOver(db: Queryable, other: string): Promise<Fleet> {
  const id = uuid(other, 'the id of the other fleet')
  const [fleet] = await db.query<Fleet>(Prisma.sql`
    UPDATE fleet SET took_over = array_append(array_remove(took_over, ${id}::uuid), ${id}::uuid)
    WHERE id <> ${id}::uuid RETURNING ${FLEET}`)
  return fleet ?? getFleet(db)
}
