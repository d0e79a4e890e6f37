import type { Config } from '@sealfleet/config'
import type { Records } from '@sealfleet/records'
import { openConfiguredRecords } from '@sealfleet/runtime'
import type { CommandContext } from '../context.js'

/** Opens the records for a command; closed when it ends. */
export async function openDatabase(context: CommandContext, config: Config<'database'>): Promise<Records> {
  const records = await openConfiguredRecords(config, { name: 'sealfleet-cli', poolSize: 4 })
  context.defer(() => records.close())
  return records
}
