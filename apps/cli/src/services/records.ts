import { tlsOptions, type Config } from '@sealfleet/config'
import { openRecords, type Records } from '@sealfleet/records'
import type { CommandContext } from '../context.js'

/** Opens the records for a command; closed when it ends. */
export async function openDatabase(context: CommandContext, config: Config<'database'>): Promise<Records> {
  const { url, connectTimeoutMs, statementTimeoutMs, tls } = config.database
  const records = await openRecords(url.reveal(), {
    applicationName: 'sealfleet-cli',
    poolSize: 4,
    connectTimeoutMs,
    statementTimeoutMs,
    tls: tlsOptions(tls),
  })
  context.defer(() => records.close())
  return records
}
