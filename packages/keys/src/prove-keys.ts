import { randomUUID } from 'node:crypto'

import { keyLabel, type MasterKeyRef, openObject } from '@sealfleet/format'
import { HsmError, type HsmPool, type ProveKey } from '@sealfleet/hsm'
import { classify } from '@sealfleet/failures'
import { addKnownAnswer, committedUnderKey, getMasterKey, listMasterKeys } from '@sealfleet/records/keys'
import { appendAudit } from '@sealfleet/records/audit'
import { getFile } from '@sealfleet/records/files'
import { objectRecord } from '@sealfleet/records/attempts'
import { RecordsError, type KeyRow, type Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'
import type { Logger } from '@sealfleet/telemetry'

import { expectKey, keyStateOf, type CheckValues } from '@sealfleet/objects'

/** Files of a version whose headers are tried until one is right: a single object may be damaged. */
const MOST_LOOKED_AT = 3
/** Milliseconds that a start waits for proofs: the remaining keys are proved before their first file. */
const START_MS = 10_000

export interface ProvePorts {
  readonly records: Records
  readonly pool: CheckValues & Pick<HsmPool, 'hmac' | 'unwrap' | 'wrap' | 'knownAnswer'>
  readonly store: Pick<Store, 'bucket' | 'reader'>
  readonly log: Pick<Logger, 'warn' | 'info' | 'error'>
  /** The actor of a registered known answer. */
  readonly actor: string
}

/**
 * `proven`: a file's header is right. `never used`: no file is kept under it. `undecided`: none of the files could
 * decide.
 */
type Proof = 'proven' | 'never used' | 'undecided'

/**
 * Derives the keys of a stored file of that version again and compares its header's HTAG and KC, which its sealer
 * wrote. So a token that now computes differently is found before this process seals a file with it. A version
 * registered without a known answer gets one here, when a header has proved it right or no file is kept under it.
 *
 * A fault of an object alone (gone, damaged, not readable by this worker) proves nothing against the key. Rejects with
 * HsmError KEY_MISMATCH when no header is right and one is wrong, and with the error that prevented the check:
 * StoreError, RecordsError.
 */
export function keyProver(ports: ProvePorts): ProveKey {
  return async (ref) => {
    const key = await getMasterKey(ports.records, ref)
    // The key is unknown here: sealing with it reports that.
    if (key === undefined) return
    expectKey(ports.pool, key)
    const proof = await prove(ports, key)
    if (proof === 'undecided' || key.knownAnswer !== null) return
    await register(ports, key, proof)
  }
}

async function prove(ports: ProvePorts, key: KeyRow): Promise<Proof> {
  const found = await committedUnderKey(ports.records, { key, from: randomUUID(), limit: MOST_LOOKED_AT })
  if (found.length === 0) return 'never used'
  let wrong: unknown
  for (const { fileId, bucket } of found) {
    // Another bucket may need other credentials.
    if (bucket !== ports.store.bucket) continue
    try {
      if (await headerIsRight(ports, fileId)) return 'proven'
    } catch (error) {
      const { code } = classify(error)
      if (WRONG.has(code)) wrong ??= error
      else if (OF_THE_OBJECT.has(code)) ports.log.warn({ code, fileId, err: error }, 'this header proves no key')
      else throw error
    }
  }
  if (wrong === undefined) return 'undecided'
  throw new HsmError('KEY_MISMATCH', `${keyLabel(key)} does not derive what files were sealed with`, {
    cause: wrong,
    fix: 'Stop and find out whether the token computes wrongly or was restored wrongly (`npx sealfleet keys check`). Nothing is sealed with it.',
  })
}

/** The keys derived now differ from those that the header was written with. */
const WRONG: ReadonlySet<string> = new Set(['E_HEADER_AUTH', 'E_KEY_COMMIT'])

/** A fault of one object, or a limit of this worker's rights: it says nothing about the key. */
const OF_THE_OBJECT: ReadonlySet<string> = new Set([
  ...['E_FORMAT', 'E_UNSUPPORTED', 'E_LENGTH', 'E_WRONG_FILE', 'E_RECORD_MISMATCH', 'E_TRAILER_AUTH', 'E_NONCE_UNWRAP'],
  ...[
    'E_NONCES_ABSENT',
    'E_KEY_DESTROYED',
    'E_KEY_UNKNOWN',
    'S3_NO_SUCH_OBJECT',
    'S3_ACCESS_DENIED',
    'S3_OBJECT_EXISTS',
  ],
])

/** False: the file is no longer stored. */
async function headerIsRight({ records, pool, store }: ProvePorts, fileId: string): Promise<boolean> {
  const committed = (await getFile(records, fileId))?.committed
  if (committed == null) return false
  const pin = committed.objectVersion === null ? { etag: committed.etag ?? '' } : { version: committed.objectVersion }
  const reader = store.reader({ key: committed.objectKey, length: committed.objectLength, ...pin })
  using _opened = await openObject(reader, {
    keys: pool,
    unwrapper: pool,
    context: 'unchecked',
    expectedFileId: fileId,
    record: objectRecord(fileId, committed),
    ...(committed.wrappedNonces !== null && { wrappedNonces: committed.wrappedNonces }),
    keyState: keyStateOf(records, pool),
  })
  return true
}

const nameOf = ({ domain, role, version }: KeyRow) => ({ domain, role, version: String(version) })

async function register({ records, pool, log, actor }: ProvePorts, key: KeyRow, proof: Proof): Promise<void> {
  const knownAnswer = await pool.knownAnswer(key)
  const outcome = await addTo(records, actor, { key, knownAnswer, proof }).catch((error: unknown) => {
    const { code } = classify(error)
    // No right to write there: the header has proved the key, which is enough.
    if (code !== 'DB_ACCESS_DENIED') throw error
    log.warn({ code, ...nameOf(key), err: error }, 'the known answer of this key version cannot be registered')
    return undefined
  })
  if (outcome === undefined) return
  if (outcome.added) log.info(nameOf(key), 'the known answer of this key version is now registered')
  expectKey(pool, { ...key, knownAnswer: outcome.knownAnswer })
}

async function addTo(
  records: Records,
  actor: string,
  { key, knownAnswer, proof }: { readonly key: KeyRow; readonly knownAnswer: Buffer; readonly proof: Proof },
): ReturnType<typeof addKnownAnswer> {
  try {
    return await records.transaction(async (tx) => {
      const outcome = await addKnownAnswer(tx, { key, knownAnswer })
      const detail = { label: key.label, knownAnswer: knownAnswer.toString('hex'), proof }
      const subject = { subjectKind: 'key', subjectId: key.id }
      if (outcome.added) await appendAudit(tx, { actor, action: 'keys.known-answer', ...subject, detail })
      return outcome
    })
  } catch (error) {
    if (!(error instanceof RecordsError && error.code === 'CONFLICT')) throw error
    throw new HsmError('KEY_MISMATCH', `${keyLabel(key)} answers as another key does`, {
      cause: error,
      fix: 'Take this HSM out of service and have it examined: it computes nonsense. Nothing is sealed with it.',
    })
  }
}

/**
 * At a start: proves every version that is active now. A failure is logged and does not stop the start: no file is
 * sealed under that version until its proof, repeated for each file, has succeeded. A store or a database that does not
 * answer is waited for for ten seconds.
 */
export async function proveActiveKeys(
  { records, log }: Pick<ProvePorts, 'records' | 'log'>,
  prove: (key: MasterKeyRef) => Promise<void>,
): Promise<void> {
  const active = (await listMasterKeys(records, { state: 'ACTIVE' })).filter(
    ({ role }) => role === 'enc' || role === 'sig',
  )
  const proofs = active.map(async (key) => {
    try {
      await prove(key)
    } catch (error) {
      log.error({ code: classify(error).code, ...nameOf(key), err: error }, 'this key version is not used for sealing')
    }
  })
  const late = new Promise((resolve) => setTimeout(resolve, START_MS).unref())
  await Promise.race([Promise.all(proofs), late])
}
