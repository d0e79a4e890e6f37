import { appendAudit } from '@sealfleet/records/audit'
import {
  cancelDestruction,
  listDestructions,
  listMasterKeys,
  lockMasterKey,
  allowIdle,
  type DestructionRow,
} from '@sealfleet/records/keys'
import type { KeyRow } from '@sealfleet/records'

import { HSM_MS } from './carry-out.js'
import { DestructionRefused, registered, type DestroyPorts } from './terms.js'

/**
 * Cancels a scheduled destruction: the key is DECRYPT_ONLY again. If it is carried out at the same moment, the
 * transaction that locks the key's row first wins. If tokens may already have destroyed the key (a crash in between),
 * all of them are checked; if one lacks it, the destruction is not cancelled.
 * @param tokens opened only if they must be checked
 * @throws DestructionRefused BAD_STATE; errors of the tokens
 */
export async function cancelScheduled(
  { records, tokens }: Pick<DestroyPorts, 'records'> & { readonly tokens: () => Promise<DestroyPorts['tokens']> },
  key: KeyRow,
  o: { readonly actor: string; readonly reason: string; readonly signal?: AbortSignal | undefined },
): Promise<DestructionRow> {
  return records.transaction(
    async (tx) => {
      const locked = await lockMasterKey(tx, key.id)
      const [open] = await listDestructions(tx, { keyId: key.id, only: 'open' })
      if (open === undefined || locked.state !== 'DESTROY_SCHEDULED') throw notScheduled(locked)
      if (open.begunAt !== null) {
        await allowIdle(tx, HSM_MS)
        const witnesses = await listMasterKeys(tx, { state: 'ACTIVE' })
        const seen = await (await tokens()).look(registered(locked), witnesses.map(registered), o.signal)
        const gone = seen.filter(({ present }) => !present)
        if (gone.length > 0)
          throw new DestructionRefused(
            'BAD_STATE',
            `${key.label} is gone already from ${gone.map(({ token }) => token).join(', ')}`,
            { fix: 'carry it out to the end: `sealfleet keys destroy … --carry-out`, or let maintenance do it' },
          )
      }
      if (!(await cancelDestruction(tx, { destructionId: open.id, actor: o.actor }))) throw notScheduled(locked)
      const detail = { label: key.label, destructionId: open.id, reason: o.reason }
      const subject = { subjectKind: 'key', subjectId: key.id }
      await appendAudit(tx, { actor: o.actor, action: 'keys.destroy.cancel', ...subject, detail })
      return open
    },
    { timeoutMs: HSM_MS },
  )
}

function notScheduled(key: KeyRow): DestructionRefused {
  return new DestructionRefused('BAD_STATE', `${key.label} is ${key.state}: there is nothing to cancel`, {
    fix: 'see `sealfleet keys destructions`',
  })
}
