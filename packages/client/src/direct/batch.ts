import { batchIdFor } from '@sealfleet/queue'
import type { BatchName } from '../terms.js'
import type { Query } from './database.js'

/** Makes a batch unless it exists. @returns its id */
export async function openBatch(query: Query, batch: BatchName): Promise<string> {
  const { name, expected } = typeof batch === 'string' ? { name: batch, expected: undefined } : batch
  const id = batchIdFor(name)
  await query('SELECT sealfleet_batch($1::uuid, $2::text, $3::int)', [id, name === id ? null : name, expected ?? null])
  return id
}
