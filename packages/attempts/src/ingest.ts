import { commitAttempt, failAttempt, failureHistory, openAttempt, renewLease } from '@sealfleet/records/attempts'
import { claimFile, type ClaimInput, type ClaimOutcome } from '@sealfleet/records/files'

import type { AttemptDependencies, AttemptKind, AttemptOutcome, Claim, Plaintext } from './kind.js'
import { poisonOf } from './poison.js'
import { runAttempt, type AttemptOptions } from './run-attempt.js'
import { assertUnchanged, fingerprintJson, openSource, type Source, type SourceRoots } from './source/open-source.js'
import { readSource } from './source/read-source.js'

export interface IngestDependencies extends AttemptDependencies {
  /** Root name → absolute path. */
  readonly roots: SourceRoots
}

/** A job's request, and its owner. */
export type OwnedRequest = Omit<ClaimInput, 'leaseSeconds' | 'batchId'> & { readonly generation: number }

interface FileClaim extends Claim {
  /** Claims of this generation that ended without an outcome. */
  readonly crashes: number
  /** What is wrong with the file's own row: nothing is sealed under a record that readers could not use. */
  readonly damage: Error | undefined
}

interface SourceText extends Plaintext {
  readonly fingerprint: Record<string, string>
}

/** One attempt at storing a file for the first time. @see runAttempt */
export function ingest(
  dependencies: IngestDependencies,
  request: OwnedRequest,
  options: AttemptOptions,
): Promise<AttemptOutcome> {
  return runAttempt(dependencies, ingestKind(dependencies, request), options)
}

function ingestKind(dependencies: IngestDependencies, request: OwnedRequest): AttemptKind<FileClaim, SourceText> {
  const { records, leaseSeconds, roots, step } = dependencies
  const { fileId, generation, owner, source: location, context } = request
  return {
    owner,
    recordsFence: false,
    step: (name, when) => step(name === 'open' ? 'open-source' : name, when),
    claim: async () => claimOf(fileId, await claimFile(records, { ...request, leaseSeconds })),
    obstacle: async ({ crashes, damage }) => (await poisonOf(records, { fileId, generation, crashes })) ?? damage,
    renew: ({ attemptNo }) => renewLease(records, { fileId, owner, attemptNo, leaseSeconds }),
    open: async () => {
      const source = await openSource(roots, location)
      return {
        length: source.size,
        bufferBytes: 0,
        context,
        source: location,
        fingerprint: fingerprintJson(source.fingerprint),
        read: () => readSource(source),
        check: () => checkSource(dependencies, source),
        [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
      }
    },
    record: (_, { fingerprint }, attempt) => openAttempt(records, { ...attempt, sourceFingerprint: fingerprint }),
    commit: (_, object) => commitAttempt(records, object),
    history: async (_, code) => {
      const { burned, sameCode } = await failureHistory(records, { fileId, generation, code })
      return { counted: burned + 1, sameCode: sameCode + 1 }
    },
    fail: ({ attemptNo }, { decision, ...failing }) => {
      const retryInMs = decision !== undefined && 'delayMs' in decision ? decision.delayMs : 0
      return failAttempt(records, { fileId, owner, attemptNo, ...failing, retryInMs })
    },
  }
}

async function checkSource({ step }: IngestDependencies, source: Source): Promise<void> {
  await step('check-source', 'before')
  await assertUnchanged(source)
  await step('check-source', 'after')
}

function claimOf(fileId: string, claimed: ClaimOutcome): Awaited<ReturnType<AttemptKind<FileClaim, never>['claim']>> {
  switch (claimed.outcome) {
    case 'claimed':
    case 'damaged': {
      const { attemptNo, crashes, domain } = claimed
      const damage = claimed.outcome === 'damaged' ? claimed.error : undefined
      return { kind: 'claimed', claim: { fileId, attemptNo, crashes, domain, damage } }
    }
    case 'leased':
      return { kind: 'leased', retryInMs: claimed.expiresInMs }
    case 'conflict':
    case 'unknown-domain':
      return { kind: claimed.outcome }
    default:
      return { kind: 'skipped', state: claimed.outcome }
  }
}
