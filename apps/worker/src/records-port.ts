import { activeKeys } from '@sealfleet/records/keys'
import { claimFile, listFailures, recordRefusal, type ClaimOutcome } from '@sealfleet/records/files'
import { commitAttempt, failAttempt, failureHistory, openAttempt, renewLease } from '@sealfleet/records/attempts'
import type { Records } from '@sealfleet/records'
import { nonceId } from '@sealfleet/format'
import { FAILURES } from '@sealfleet/failures'

import type { ClaimResult, IngestRecords } from './attempt/ports.js'
import { expectKey, type CheckValues } from '@sealfleet/objects'
import type { Refusal } from './consume/refusal.js'

/** Most worker deaths that a dead letter names. */
const MOST_DEATHS = 3

/**
 * The records for an ingest attempt. Registers every key of a new attempt with the pool, with its check value, so that
 * a wrong key under the right label is found before it seals anything.
 */
export function ingestRecords(records: Records, pool: CheckValues): IngestRecords {
  return {
    claim: async ({ root, path, ...request }) =>
      claimResult(await claimFile(records, { ...request, source: { root, path } })),
    renew: (fileId, owner, attemptNo, leaseSeconds) => renewLease(records, { fileId, owner, attemptNo, leaseSeconds }),
    activeKeys: async (domain) => {
      const keys = await activeKeys(records, domain)
      for (const key of [keys.enc, keys.sig, keys.kek]) if (key !== undefined) expectKey(pool, key)
      return keys
    },
    openAttempt: async ({ claim, keys, nonceEnc, nonceSig, wrappedNonces, ...rest }) => {
      await openAttempt(records, {
        ...rest,
        attemptNo: claim.attemptNo,
        suite: keys.enc.suite,
        segLog2: claim.segLog2,
        encKeyId: keys.enc.id,
        sigKeyId: keys.sig.id,
        nonceIdEnc: nonceId(nonceEnc),
        nonceIdSig: nonceId(nonceSig),
        ...(wrappedNonces === undefined ? { nonceEnc, nonceSig } : { wrappedNonces, kekKeyId: keys.kek?.id }),
      })
    },
    commit: (input) => commitAttempt(records, input),
    fail: (input) => failAttempt(records, input),
    history: (fileId, generation, code) => failureHistory(records, { fileId, generation, code }),
    deaths: (fileId, generation) => deathsOf(records, fileId, generation),
  }
}

/** The workers that died at the file, from its history, in one generation or in all: a line each, oldest first. */
export async function deathsOf(records: Records, fileId: string, generation?: number): Promise<readonly string[]> {
  return (await listFailures(records, fileId))
    .filter((one) => one.code === 'WORKER_DIED' && (generation === undefined || one.generation === generation))
    .slice(-MOST_DEATHS)
    .map(({ attemptNo, message }) => `attempt ${attemptNo}: ${message}`)
}

/** Records a request that cannot become a file as a dead letter. */
export async function refuseRequest(records: Records, { fileId, fingerprint, ...refusal }: Refusal): Promise<void> {
  await recordRefusal(records, {
    ...refusal,
    class: FAILURES[refusal.code].class,
    fileId,
    requestFingerprint: fingerprint,
    owner: FAILURES[refusal.code].owner,
  })
}

function claimResult(claimed: ClaimOutcome): ClaimResult {
  switch (claimed.outcome) {
    case 'claimed':
    case 'damaged':
      return {
        outcome: 'claimed',
        claim: {
          attemptNo: claimed.attemptNo,
          generation: claimed.outcome === 'damaged' ? claimed.generation : claimed.file.generation,
          crashes: claimed.crashes,
          domain: claimed.domain.id,
          suite: claimed.domain.suite,
          nonceMode: claimed.domain.nonceMode,
          segLog2: claimed.domain.segLog2,
          ...(claimed.outcome === 'damaged' && { damage: claimed.error }),
        },
      }
    case 'leased':
      return { outcome: 'leased', expiresInMs: claimed.expiresInMs }
    case 'conflict':
    case 'unknown-domain':
      return { outcome: claimed.outcome }
    default:
      return { outcome: 'over', state: claimed.outcome }
  }
}
