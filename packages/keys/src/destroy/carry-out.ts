import {
  allowIdle,
  beginDestruction,
  claimDestruction,
  completeDestruction,
  databaseTime,
  keepHoldsStill,
  listDestructions,
  listMasterKeys,
  lockMasterKey,
  refuseDestruction,
  signatureEvidence,
  type DestructionRow,
} from '@sealfleet/records/keys'
import { appendAudit } from '@sealfleet/records/audit'
import { assertSignedDomain } from '@sealfleet/records/requests'
import { assertUsedRequest, type RequestRow } from '@sealfleet/records/operators'
import { RecordsError, type KeyRow, type Queryable } from '@sealfleet/records'

import { assertOwnBucket } from '@sealfleet/objects'
import { assertNotNeeded, keyNeeds, storeNeeds, type ScanOptions } from './needs.js'
import { destructionRecord, destructionStoreKey, signRecord } from './record.js'
import { DESTROY_KIND, domainOf, termsOf } from './request.js'
import { DestructionRefused, registered, type DestroyPorts, type KeyNeeds, type StoreNeeds } from './terms.js'

/** Time limit of the HSMs within one transaction. */
export const HSM_MS = 300_000

export interface CarryOutOptions {
  readonly actor: string
  /** The code of an error, for the records and the metrics. */
  readonly codeOf: (error: unknown) => string
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((looked: number) => void) | undefined
  /** Called before the tokens destroy the key, when all have proved it, and when it is committed. */
  readonly onStep?: ((step: 'begun' | 'proved' | 'committed') => void | Promise<void>) | undefined
}

export type CarryOutResult =
  | { readonly outcome: 'destroyed'; readonly destruction: DestructionRow }
  /** Another process is carrying it out, or it was cancelled or carried out meanwhile, or its time has not come. */
  | { readonly outcome: 'left'; readonly why: 'busy' | 'ended' | 'early' }
  | { readonly outcome: 'refused'; readonly code: string; readonly error: unknown }

/**
 * Carries one scheduled destruction out when it is due, or refuses with the reason. The headers in the store are read
 * first, outside of any transaction: a scheduled key cannot seal. Then in one transaction, with the key's row and all
 * holds locked: the uses and holds of the key are counted again, every token destroys the key and proves that it is
 * gone, and only then is it DESTROYED, with the signed record. A refusal is recorded and tried again. After a crash the
 * next run finishes the work: a token that already lacks the key has nothing to do.
 * @throws the signal's reason, RecordsError when not even the refusal could be recorded
 */
export async function carryOutDestruction(
  ports: DestroyPorts,
  destructionId: string,
  options: CarryOutOptions,
): Promise<CarryOutResult> {
  try {
    return await attempt(ports, destructionId, options)
  } catch (error) {
    options.signal?.throwIfAborted()
    const code = options.codeOf(error)
    const message = error instanceof Error ? error.message : ''
    await refuseDestruction(ports.records, { destructionId, refusal: { code, message } })
    return { outcome: 'refused', code, error }
  }
}

/**
 * A rehearsal: checks everything that may forbid the destruction now, every token included, and destroys and records
 * nothing. Resolves with `ready`, or why it would be left alone.
 * @throws the refusal's error; the signal's reason
 */
export async function rehearseDestruction(
  { records, store, tokens }: DestroyPorts,
  id: string,
  options: ScanOptions = {},
): Promise<'ready' | 'busy' | 'ended' | 'early'> {
  const [planned] = await listDestructions(records, { id, only: 'open' })
  if (planned === undefined) return 'ended'
  if (!planned.due) return 'early'
  const inStore = await storeNeeds({ records, store }, await keyOf(records, planned), options)
  return records.rehearsal().transaction(
    async (tx) => {
      const ready = await assertReady(tokens, tx, planned, inStore)
      if (ready.outcome === 'left') return ready.why
      await tokens.look(registered(ready.key), ready.witnesses.map(registered), options.signal)
      return 'ready'
    },
    { timeoutMs: HSM_MS },
  )
}

async function keyOf(records: DestroyPorts['records'], { keyId }: DestructionRow): Promise<KeyRow> {
  const key = (await listMasterKeys(records)).find((row) => row.id === keyId)
  if (key === undefined) throw new RecordsError('NOT_FOUND', 'the destruction names a key that is not registered')
  return key
}

async function attempt(ports: DestroyPorts, id: string, options: CarryOutOptions): Promise<CarryOutResult> {
  const { records } = ports
  const [planned] = await listDestructions(records, { id, only: 'open' })
  if (planned === undefined) return { outcome: 'left', why: 'ended' }
  if (!planned.due) return { outcome: 'left', why: 'early' }
  const key = await keyOf(records, planned)
  // Refusals by the records alone come first: otherwise each try would read every header in the store.
  assertNotNeeded(key, await keyNeeds(records, key, NOTHING), planned.shred ? Infinity : null)
  await assertOwnBucket(ports, options)
  const inStore = await storeNeeds(ports, key, options)
  const result = await records.transaction((tx) => underLock(ports, tx, planned, inStore, options), {
    timeoutMs: HSM_MS,
  })
  if (result.outcome === 'destroyed') await options.onStep?.('committed')
  return result
}

/** The result without a reading of the store. */
const NOTHING: StoreNeeds = { looked: 0, unreadable: 0, objects: 0, beyondRecords: 0, lost: 0, first: [] }

async function underLock(
  { records, tokens }: DestroyPorts,
  tx: Queryable,
  { id, keyId }: DestructionRow,
  inStore: StoreNeeds,
  { actor, signal, onStep }: CarryOutOptions,
): Promise<CarryOutResult> {
  const ready = await assertReady(tokens, tx, { id, keyId }, inStore)
  if (ready.outcome === 'left') return ready
  const { key, domainName, destruction, request, needs, audit, witnesses } = ready
  const proofs = await tokens.destroy(registered(key), witnesses.map(registered), {
    beforeFirst: async () => {
      // On its own connection: a rollback of this transaction must not undo it.
      if (!(await beginDestruction(records, id)))
        throw new DestructionRefused('BAD_STATE', 'it was cancelled meanwhile', {
          fix: 'see `sealfleet keys destructions`',
        })
      await onStep?.('begun')
    },
    signal,
  })
  await onStep?.('proved')
  const at = await databaseTime(tx)
  const signatures = await signatureEvidence(tx, request.id)
  const record = destructionRecord({ destruction, key, domainName, request, signatures, needs, proofs, at, actor })
  const mac = await signRecord(tokens, registered(audit), record)
  const storeKey = destructionStoreKey(key.label)
  const done = { destructionId: id, at, record, auditKeyVersion: audit.version, mac, storeKey }
  if (!(await completeDestruction(tx, done))) throw new RecordsError('BAD_STATE', 'the destruction ended otherwise')
  const tokensSaid = proofs.map(({ serial, was }) => ({ serial, was }))
  const detail = { label: key.label, destructionId: id, requestId: request.id, tokens: tokensSaid, lost: needs.lost }
  await appendAudit(tx, { actor, action: 'keys.destroy', subjectKind: 'key', subjectId: key.id, detail })
  const [carriedOut] = await listDestructions(tx, { id })
  if (carriedOut === undefined) throw new TypeError('a row that was just written is there')
  return { outcome: 'destroyed', destruction: carriedOut }
}

type Left = Extract<CarryOutResult, { readonly outcome: 'left' }>

/** The inputs of a destruction that is allowed. */
interface Ready {
  readonly outcome: 'ready'
  readonly key: KeyRow
  /** The domain's name: the signed one, else the present one. */
  readonly domainName: string
  readonly destruction: DestructionRow
  readonly request: RequestRow
  readonly needs: KeyNeeds
  readonly audit: KeyRow
  readonly witnesses: readonly KeyRow[]
}

/**
 * Checks everything that may forbid it, in the destroying transaction or its rehearsal. @throws DestructionRefused,
 * errors of tokens
 */
async function assertReady(
  tokens: DestroyPorts['tokens'],
  tx: Queryable,
  { id, keyId }: Pick<DestructionRow, 'id' | 'keyId'>,
  inStore: StoreNeeds,
): Promise<Ready | Left> {
  if (!(await claimDestruction(tx, id))) return { outcome: 'left', why: 'busy' }
  await allowIdle(tx, HSM_MS)
  await keepHoldsStill(tx)
  const key = await lockMasterKey(tx, keyId)
  const [destruction] = await listDestructions(tx, { id, only: 'due' })
  if (destruction === undefined || key.state !== 'DESTROY_SCHEDULED') return { outcome: 'left', why: 'ended' }
  const request = await signedRequest(tx, destruction)
  const { shred, waitSeconds } = termsOf(key, request.detail)
  await assertWaited(tx, request, waitSeconds)
  const domain = await domainOf(tx, key)
  // A destruction that was begun is finished: a token may already lack the key.
  if (destruction.begunAt === null) assertSignedDomain(request, domain)
  const needs = await keyNeeds(tx, key, inStore)
  assertNotNeeded(key, needs, shred)
  const [audit] = await listMasterKeys(tx, { domain: 'default', role: 'audit', state: 'ACTIVE' })
  if (audit === undefined)
    throw new DestructionRefused('NO_ACTIVE_KEY', 'no audit key is active to sign the record with', {
      fix: 'make one with `sealfleet keys init --with-audit`',
    })
  // Signing must work before the key is destroyed, not only afterwards.
  await signRecord(tokens, registered(audit), Buffer.from('{"v":1,"kind":"rehearsal"}'))
  const witnesses = (await listMasterKeys(tx, { state: 'ACTIVE' })).filter((row) => row.id !== key.id)
  const { domainName: signedName } = request.detail
  const domainName = typeof signedName === 'string' ? signedName : domain.name
  return { outcome: 'ready', key, domainName, destruction, request, needs, audit, witnesses }
}

/** A writer of the database can write a destruction's row and mark a request used, but cannot sign for two officers. */
async function signedRequest(tx: Queryable, { requestId, keyId }: DestructionRow): Promise<RequestRow> {
  if (requestId === null)
    throw new DestructionRefused('REQUEST_MISMATCH', 'no request stands behind this destruction', { fix: WRITTEN_TO })
  return assertUsedRequest(tx, { id: requestId, kind: DESTROY_KIND, subject: { kind: 'key', id: keyId } })
}

/** The row's own times may have been changed; the time of the request is signed. */
async function assertWaited(tx: Queryable, { createdAt }: RequestRow, waitSeconds: number): Promise<void> {
  const waited = (await databaseTime(tx)).getTime() - createdAt.getTime()
  if (waited < waitSeconds * 1_000)
    throw new DestructionRefused(
      'REQUEST_MISMATCH',
      `the waiting period of ${waitSeconds} s that was signed is not over`,
      {
        fix: WRITTEN_TO,
      },
    )
}

const WRITTEN_TO = 'someone wrote to the database: find out who, and cancel the destruction'
