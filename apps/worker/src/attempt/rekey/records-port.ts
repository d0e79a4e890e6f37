import { nonceId } from '@sealfleet/format'
import { activeKeys } from '@sealfleet/records/keys'
import { claimRekeyItem, commitRekey, endRekeyItem, openRekeyAttempt, renewRekeyLease } from '@sealfleet/records/rekey'
import { getFile } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'

import { expectKey, keyStateOf, type CheckValues } from '@sealfleet/objects'
import { deathsOf } from '../../records-port.js'
import type { RekeyRecords } from './ports.js'

/** The records for a rekey. Registers keys, old and new, with the pool, with their check values. */
export function rekeyRecords(records: Records, pool: CheckValues): RekeyRecords {
  return {
    claim: (itemId, owner, leaseSeconds) => claimRekeyItem(records, { itemId, owner, leaseSeconds }),
    renew: (lease, leaseSeconds) => renewRekeyLease(records, { ...lease, leaseSeconds }),
    kept: async (fileId) => {
      const found = await getFile(records, fileId)
      if (found?.committed == null) return undefined
      const { source, context } = found.file
      return { source, context, committed: found.committed }
    },
    activeKeys: async (domain) => {
      const keys = await activeKeys(records, domain)
      for (const key of [keys.enc, keys.sig, keys.kek]) if (key !== undefined) expectKey(pool, key)
      return keys
    },
    openAttempt: async ({ claim, keys, nonceEnc, nonceSig, wrappedNonces, ...rest }) => {
      await openRekeyAttempt(records, {
        ...rest,
        itemId: claim.itemId,
        fileId: claim.fileId,
        oldAttemptId: claim.oldAttemptId,
        attemptNo: claim.attemptNo,
        suite: keys.enc.suite,
        segLog2: claim.domain.segLog2,
        encKeyId: keys.enc.id,
        sigKeyId: keys.sig.id,
        nonceIdEnc: nonceId(nonceEnc),
        nonceIdSig: nonceId(nonceSig),
        ...(wrappedNonces === undefined ? { nonceEnc, nonceSig } : { wrappedNonces, kekKeyId: keys.kek?.id }),
      })
    },
    commit: (input) => commitRekey(records, input),
    deaths: (fileId) => deathsOf(records, fileId),
    fail: (end) => endRekeyItem(records, end),
    // Read for each file: a version may be destroyed during a run.
    keyState: keyStateOf(records, pool),
  }
}
