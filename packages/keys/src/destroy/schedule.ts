import { appendAudit } from '@sealfleet/records/audit'
import { assertSignedDomain } from '@sealfleet/records/requests'
import { consumeRequest, getRequest } from '@sealfleet/records/operators'
import {
  keepHoldsStill,
  listMasterKeys,
  lockMasterKey,
  scheduleDestruction,
  type DestructionRow,
} from '@sealfleet/records/keys'
import { RecordsError, type KeyRow, type Queryable } from '@sealfleet/records'

import { assertNotNeeded, keyNeeds, storeNeeds, type ScanOptions } from './needs.js'
import { DESTROY_KIND, domainOf, termsOf } from './request.js'
import { DestructionRefused, type DestroyPorts, type KeyNeeds } from './terms.js'

type Ports = Pick<DestroyPorts, 'records' | 'store'>

/**
 * Whether a key could be scheduled now, and its uses. @throws DestructionRefused BAD_STATE or NO_ACTIVE_KEY; uses and
 * holds are returned, not thrown
 */
export async function lookAtKey(ports: Ports, key: KeyRow, options: ScanOptions = {}): Promise<KeyNeeds> {
  assertState(key)
  await assertAuditKey(ports.records)
  return keyNeeds(ports.records, key, await storeNeeds(ports, key, options))
}

/**
 * Uses a signed request and schedules its destruction, in one transaction: the key's row is locked, so that no attempt
 * is opened or committed under it meanwhile; its uses and holds are counted again; the signatures are verified. The
 * headers in the store are read just before.
 * @throws DestructionRefused, RecordsError (REQUEST_…, NOT_FOUND, BAD_STATE), StoreError; then nothing has changed
 */
export async function scheduleByRequest(
  ports: Ports,
  key: KeyRow,
  o: { readonly requestId: string; readonly minWaitSeconds: number; readonly actor: string } & ScanOptions,
): Promise<DestructionRow> {
  const { requestId, actor } = o
  const request = await getRequest(ports.records, requestId)
  if (request === undefined)
    throw new RecordsError('NOT_FOUND', `there is no request ${requestId}`, { fix: 'see `sealfleet requests list`' })
  termsOf(key, request.detail)
  assertSignedDomain(request, await domainOf(ports.records, key))
  assertState(key)
  const inStore = await storeNeeds(ports, key, o)
  o.signal?.throwIfAborted()
  return ports.records.transaction(async (tx) => {
    await keepHoldsStill(tx)
    const locked = await lockMasterKey(tx, key.id)
    assertState(locked)
    await assertAuditKey(tx)
    const subject = { kind: 'key', id: key.id }
    // The signed bytes count, read again under the request's lock.
    const used = await consumeRequest(tx, { id: requestId, kind: DESTROY_KIND, subject, consumedBy: actor })
    const terms = termsOf(locked, used.detail)
    assertSignedDomain(used, await domainOf(tx, locked))
    if (terms.waitSeconds < o.minWaitSeconds)
      throw new DestructionRefused(
        'BAD_STATE',
        `the request waits ${terms.waitSeconds} s; here it is ${o.minWaitSeconds} s at least`,
        {
          fix: 'make a request with a longer waiting period',
        },
      )
    const needs = await keyNeeds(tx, locked, inStore)
    assertNotNeeded(locked, needs, terms.shred)
    // Counting may have taken long; the remaining steps are short.
    o.signal?.throwIfAborted()
    const row = await scheduleDestruction(tx, {
      keyId: key.id,
      requestId,
      shred: terms.shred !== null,
      reason: terms.reason,
      backups: terms.backups,
      actor,
      waitSeconds: terms.waitSeconds,
      references: summaryOf(needs),
    })
    const detail = {
      label: key.label,
      destructionId: row.id,
      requestId,
      executeAfter: row.executeAfter.toISOString(),
      shredFiles: terms.shred,
      reason: terms.reason,
    }
    await appendAudit(tx, { actor, action: 'keys.destroy.schedule', subjectKind: 'key', subjectId: key.id, detail })
    return row
  })
}

/** The counts without the lists, as the records keep them. */
export function summaryOf({ database, store, lost }: KeyNeeds) {
  return {
    database: { ...database },
    store: {
      looked: store.looked,
      unreadable: store.unreadable,
      objects: store.objects,
      beyondRecords: store.beyondRecords,
    },
    lost,
  }
}

function assertState(key: KeyRow): void {
  if (key.role === 'audit')
    throw new DestructionRefused('BAD_STATE', 'audit keys are kept: what they signed could not be checked any more', {
      fix: 'rotate it instead: `sealfleet keys rotate --role audit`',
    })
  if (key.state === 'DECRYPT_ONLY' || key.state === 'PENDING') return
  const fixes: Partial<Record<KeyRow['state'], string>> = {
    ACTIVE: 'give it a successor first (`sealfleet keys rotate`) or take it out of use (`sealfleet keys retire`)',
    DESTROY_SCHEDULED: 'see `sealfleet keys destructions`',
    DESTROYED: 'nothing to do: see `sealfleet keys destructions`',
  }
  throw new DestructionRefused('BAD_STATE', `${key.label} is ${key.state}`, { fix: fixes[key.state] ?? '' })
}

async function assertAuditKey(db: Queryable): Promise<void> {
  const [audit] = await listMasterKeys(db, { domain: 'default', role: 'audit', state: 'ACTIVE' })
  if (audit === undefined)
    throw new DestructionRefused(
      'NO_ACTIVE_KEY',
      'no audit key is active, and the record of a destruction is signed with one',
      {
        fix: 'make one with `sealfleet keys init --with-audit`',
      },
    )
}
