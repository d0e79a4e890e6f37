import type { AcceptFiles, AcceptOutcome } from '@sealfleet/queue'
import type { Query } from './database.js'

/**
 * Accepts files by the SQL function of the fleet's database, which stays what it is when the tables change: an installed
 * client may be older than the fleet. It also writes the rows from which maintenance brings a job that this process
 * could not.
 */
export function acceptBy(query: Query): AcceptFiles {
  return async (files) => {
    const requests = files.map(({ fileId, domain, source, context, batchId }) => ({
      fileId,
      domain,
      source,
      ...(context.length > 0 && { context: Buffer.from(context).toString('base64url') }),
      ...(batchId !== undefined && { batchId }),
    }))
    const rows = await query('SELECT outcome, state, generation FROM sealfleet_enqueue($1::jsonb)', [
      JSON.stringify(requests),
    ])
    return rows as readonly AcceptOutcome[]
  }
}
