import type { DeadLetterRow, FileRow } from '@sealfleet/records'
import type { DomainNames } from './domains.js'

/** A file as the API shows it. Times are ISO 8601 in UTC, lengths bytes of plaintext. */
export async function fileView(file: FileRow, length: number | null, domains: DomainNames) {
  const { id, domain, state, source, batchId, lastAttemptNo, lastFailure, nextTryAt, acceptedAt, storedAt } = file
  return {
    ...{ fileId: id, state, domain: await domains.nameOf(domain), domainId: domain, ...source, batchId },
    ...{ acceptedAt, storedAt, deletedAt: file.deletion?.at ?? null, length, attempts: lastAttemptNo },
    // Of a stored file it is history.
    lastFailure: lastFailure === null || state === 'STORED' ? null : { ...lastFailure, nextTryAt },
  }
}

export async function letterView(letter: DeadLetterRow, domains: DomainNames) {
  const { id, fileId, domain, code, class: kind, reason, state, createdAt, generation, jobId } = letter
  return {
    ...{ id, fileId, domain: domain === null ? null : await domains.nameOf(domain), code, class: kind, reason, state },
    // A refused request has no dead file: its producer must ask again.
    ...{ createdAt, generation, refusedRequest: jobId !== null },
  }
}
