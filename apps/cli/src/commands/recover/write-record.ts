import { nonceId } from '@sealfleet/format'
import { requestFingerprint } from '@sealfleet/queue'
import { appendAudit } from '@sealfleet/records/audit'
import { recoverFile, type FileRecovery, type RecoveredAttempt } from '@sealfleet/records/recovery'
import type { Records } from '@sealfleet/records'
import type { ObjectHead } from '@sealfleet/store'
import { CliError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import type { Selection, Intact } from './select.js'
import type { KnownKeys } from './known-keys.js'
import { MAX_ATTEMPT_NO } from './select.js'
import { RECOVERED_BY, RECOVERED_ROOT, type Sealed } from './terms.js'

export interface PlaceOptions {
  readonly bucket: string
  readonly actor: string
  /** Every byte of the winner was read. */
  readonly verified: boolean
}

/**
 * Writes one file with its attempts and an audit row, in one transaction. The fingerprint is that of a request for the file
 * below the root of recovered ones, also where its source is claimed: a producer that enqueues the same id again
 * receives REQUEST_CONFLICT, since nothing authentic shows any more whether it is the same request.
 * @returns whether it was written: false when another process wrote it meanwhile
 * @throws RecordsError, CliError NO_ACTIVE_KEY
 */
export async function placeFile(
  records: Records,
  keys: KnownKeys,
  choice: Selection & { readonly winner: Intact },
  o: PlaceOptions,
): Promise<boolean> {
  const recovery = recoveryOf(keys, choice, o)
  const { winner } = choice
  return records.transaction(async (tx) => {
    const outcome = await recoverFile(tx, recovery)
    if (outcome === 'no-key')
      throw new CliError('E_KEY_DESTROYED', 'a master key of the object was destroyed meanwhile', {
        exitStatus: EXIT.key,
      })
    if (outcome === 'exists') return false
    const { attemptId, attemptNo } = winner.info
    const detail = {
      ...{ attemptId, attemptNo, key: winner.sealed.entry.key, version: winner.head.version ?? null },
      ...{ verified: o.verified, others: choice.losers.length, lastAttemptNo: recovery.lastAttemptNo },
    }
    const subject = { subjectKind: 'file', subjectId: recovery.fileId }
    await appendAudit(tx, { actor: o.actor, action: 'recover.file', ...subject, detail })
    return true
  })
}

function recoveryOf(
  keys: KnownKeys,
  { winner, claim, losers, highest }: Selection & { readonly winner: Intact },
  o: PlaceOptions,
): FileRecovery {
  const { info, context } = winner
  const asRecovered = { root: RECOVERED_ROOT, path: info.fileId }
  return {
    fileId: info.fileId,
    domain: info.keyDomain,
    source: claim.source ?? asRecovered,
    context,
    fingerprint: requestFingerprint({ domain: info.keyDomain, ...asRecovered, context }),
    lastAttemptNo: Math.min(highest, MAX_ATTEMPT_NO),
    storedAt: sealedAt(info.createdMs),
    owner: RECOVERED_BY,
    committed: {
      ...attemptOf(keys, winner.sealed, info, winner.head, o.bucket),
      htag: info.htag,
      fmac: winner.fmac,
      verified: o.verified,
    },
    others: losers.map((loser) => ({
      ...attemptOf(
        keys,
        loser.sealed,
        loser.kind === 'whole' ? loser.info : loser.sealed.info,
        loser.kind === 'whole' ? loser.head : undefined,
        o.bucket,
      ),
      code: loser.kind === 'damaged' ? loser.error.code : undefined,
    })),
  }
}

function attemptOf(
  keys: KnownKeys,
  { entry }: Sealed,
  info: Sealed['info'],
  head: ObjectHead | undefined,
  bucket: string,
): RecoveredAttempt {
  const { nonceEnc, nonceSig, keyDomain: domain, suite } = info
  const enc = keys.find({ role: 'enc', domain, suite, version: info.encKeyVersion })
  const sig = keys.find({ role: 'sig', domain, suite, version: info.sigKeyVersion })
  if (nonceEnc === null || nonceSig === null || enc === undefined || sig === undefined)
    throw new TypeError('only inline objects under recorded keys are judged whole')
  return {
    ...{ attemptId: info.attemptId, attemptNo: info.attemptNo, suite, segLog2: info.segLog2 },
    ...{ encKeyId: enc.id, sigKeyId: sig.id, nonceEnc, nonceSig },
    ...{ nonceIdEnc: nonceId(nonceEnc), nonceIdSig: nonceId(nonceSig) },
    ...{ bucket, objectKey: entry.key, objectVersion: head?.version ?? entry.version, etag: head?.etag ?? entry.etag },
    ...{ objectLength: info.objectLength, plaintextLength: info.plaintextLength },
  }
}

/** The sealing time in a header, when it is a possible time; else now. Informative only. */
function sealedAt(createdMs: number): Date {
  const earliest = Date.UTC(2000, 0, 1)
  return new Date(createdMs >= earliest && createdMs <= Date.now() ? createdMs : Date.now())
}
