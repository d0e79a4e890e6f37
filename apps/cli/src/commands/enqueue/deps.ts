import { tlsOptions, type Config } from '@sealfleet/config'
import { openIngestClient, type AcceptFiles, type OwnedIngestClient } from '@sealfleet/queue'
import { acceptFiles, type Acceptance } from '@sealfleet/records/files'
import { appendAudit } from '@sealfleet/records/audit'
import { getFleet } from '@sealfleet/records/fleet'
import type { Queryable, Records } from '@sealfleet/records'
import type { CommandContext } from '../../context.js'

/** What the audit log records about files that a command enqueues. */
export interface EnqueueAudit {
  readonly actor: string
  readonly domain: string
  readonly batchId: string | undefined
}

/** The producer's client over the records; closed when the command ends. @param bringing for a command that may bring new files */
export async function openIngest(
  context: CommandContext,
  { redis, protection }: Config<'redis'>,
  records: Records,
  bringing?: EnqueueAudit,
): Promise<OwnedIngestClient> {
  const ingest = await openIngestClient({
    redisUrl: redis.url.reveal(),
    tls: tlsOptions(redis.tls),
    allowPlaintext: protection.allowPlaintext.has('redis'),
    prefix: redis.prefix,
    fleet: (await getFleet(records)).id,
    accept: acceptWithAudit(records, bringing),
    connectionName: 'sealfleet-cli',
  })
  context.defer(() => ingest.close())
  return ingest
}

/**
 * The accept function of the producer's client, over the records: writes the files of one call and the audit row that
 * names the user in one transaction, so neither exists without the other.
 */
function acceptWithAudit(records: Records, bringing: EnqueueAudit | undefined): AcceptFiles {
  return (files) =>
    records.transaction(async (tx) => {
      const accepted = await acceptFiles(tx, files)
      if (bringing !== undefined) await note(tx, bringing, accepted)
      return accepted
    })
}

async function note(
  tx: Queryable,
  { actor, domain, batchId }: EnqueueAudit,
  outcomes: readonly Acceptance[],
): Promise<void> {
  const accepted = outcomes.filter(({ outcome }) => outcome === 'accepted')
  const [first] = accepted
  if (first === undefined) return
  const subject =
    batchId === undefined
      ? { subjectKind: 'file', subjectId: first.fileId }
      : { subjectKind: 'batch', subjectId: batchId }
  await appendAudit(tx, { actor, action: 'files.enqueue', ...subject, detail: { files: accepted.length, domain } })
}
