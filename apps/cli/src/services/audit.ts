import type { AuditPorts } from '@sealfleet/audit'
import type { CommandContext } from '../context.js'
import { openPool } from './hsm.js'
import { openDatabase } from './records.js'
import { openObjectStore } from './store.js'

/** Records, store and HSM for the audit log's verbs; closed when the command ends. */
export async function openAuditPorts(
  context: CommandContext,
  o: { readonly access: 'read-only' | 'read-write' },
): Promise<AuditPorts> {
  const config = context.settings.load(['database', 's3', 'hsm'])
  const records = await openDatabase(context, config)
  const store = await openObjectStore(config, { access: o.access, context })
  context.defer(() => store.close())
  const hsm = await openPool(config)
  context.defer(() => hsm.close())
  return { records, store, hsm }
}
