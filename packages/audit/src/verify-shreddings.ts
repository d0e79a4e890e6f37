import { listShredEvents } from '@sealfleet/records/deletion'
import { usedRequestProblem } from '@sealfleet/records/operators'
import type { Records } from '@sealfleet/records'

import type { Findings } from './findings.js'

const PAGE = 1_000

/**
 * Checks the request behind every shredding in the log, signatures included: a writer of the database can write the
 * shredding, its event and a used request, but cannot sign for two officers. Shreddings are few, since each needs two
 * people.
 */
export async function compareShreddings(records: Records, findings: Findings, signal?: AbortSignal): Promise<void> {
  for (let after: string | null = '0'; after !== null;) {
    const page = await listShredEvents(records, { after, limit: PAGE })
    for (const { eventId, fileId, request, reason, domain, domainName } of page) {
      signal?.throwIfAborted()
      const problem = await usedRequestProblem(records, {
        requestId: request,
        kind: 'file.shred',
        subject: { kind: 'file', id: fileId },
        detail: {
          reason,
          ...(domain === null ? {} : { domain }),
          ...(domainName === null ? {} : { domainName }),
        },
      })
      if (problem !== undefined)
        findings.add(
          'deletion-mismatch',
          `file ${fileId}`,
          `file ${fileId} was shredded by event ${eventId} of the log, but ${problem}`,
        )
    }
    after = page.length < PAGE ? null : (page.at(-1)?.eventId ?? null)
  }
}
