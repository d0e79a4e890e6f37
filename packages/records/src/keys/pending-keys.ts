import type { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { keyRow } from './key-row.js'
import type { KeyRow } from '../db/terms.js'

/** More than any rotation makes; a rebuilt database may hold thousands of old versions that will never be activated. */
const AT_MOST = 200

/**
 * Key versions that are registered and not active yet, the youngest first: workers look for them before a file is
 * sealed with one.
 */
export async function listPendingKeys(db: Queryable): Promise<KeyRow[]> {
  const query = {
    where: { state: 'PENDING' },
    orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
    take: AT_MOST,
  } satisfies Prisma.MasterKeyFindManyArgs
  return (await db.read(({ masterKey }) => masterKey.findMany(query))).map(keyRow)
}
