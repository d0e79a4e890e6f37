import { countIngest, ingest, type IngestDependencies, type OwnedRequest } from '@sealfleet/attempts'
import { CodedError } from '@sealfleet/failures'
import { decodeContext, fingerprintOf, ingestJobId, parseIngestJob, QUEUES } from '@sealfleet/queue'
import type { Metrics } from '@sealfleet/telemetry'

import type { UnavailableRoots } from '../health/unavailable-roots.js'
import { delayUntilRootAvailable } from './apply-outcome.js'
import type { JobKind } from './attempt-worker.js'
import { throttledProgress } from './progress.js'
import type { Refusal } from './refusal.js'

type Asked = Omit<OwnedRequest, 'owner'>

export interface IngestJobsOptions {
  readonly dependencies: IngestDependencies
  /** The fleet ids whose jobs are accepted: this fleet, and those it took over from. */
  readonly fleets: readonly string[]
  /** Roots whose folder is missing here. */
  readonly rootsOut: Pick<UnavailableRoots, 'has' | 'lost'>
  readonly metrics: Metrics
}

/** Jobs of the ingest queue: each stores one file. */
export function ingestJobs({ dependencies, fleets, rootsOut, metrics }: IngestJobsOptions): JobKind<Asked> {
  return {
    queue: QUEUES.ingest,
    read: (data) => requestFrom(data, fleets),
    before: async ({ source }, job, token) => {
      if (rootsOut.has(source.root)) await delayUntilRootAvailable(job, token)
    },
    attempt: (asked, owner, signal, job) =>
      ingest(dependencies, { ...asked, owner }, { signal, onProgress: throttledProgress(job) }),
    refusal: (asked, { kind }, jobId = ingestJobId(asked.fileId, asked.generation)) =>
      kind === 'conflict' || kind === 'unknown-domain' ? refusalOf(asked, kind, jobId) : undefined,
    fileId: ({ fileId }) => fileId,
    word: ({ kind }) => kind,
    storedMessage: 'stored',
    retriedByAnotherJob: false,
    onOutcome: ({ source }, outcome, seconds) => {
      countIngest(metrics, outcome, seconds)
      if (outcome.kind === 'failed' && outcome.failed.code === 'ROOT_UNAVAILABLE') rootsOut.lost(source.root)
    },
  }
}

function requestFrom(data: unknown, fleets: readonly string[]): Asked {
  const job = parseIngestJob(data)
  // The other fleet has the file in its database and will give it another job.
  if (job.fleet !== undefined && !fleets.includes(job.fleet))
    throw new CodedError('FLEET_MISMATCH', `the job is one of fleet ${job.fleet}`)
  const { fileId, generation, domain, source, context } = job
  return { fileId, generation, domain, source, context: decodeContext(context), fingerprint: fingerprintOf(job) }
}

function refusalOf(asked: Asked, kind: 'conflict' | 'unknown-domain', jobId: string): Refusal {
  const { fileId, fingerprint, domain, source } = asked
  if (kind === 'unknown-domain') return { jobId, code: 'PAYLOAD_INVALID', reason: `there is no key domain ${domain}` }
  const reason = `file ${fileId} is another request; the job named ${source.root}:${source.path}`
  return { jobId, code: 'REQUEST_CONFLICT', reason, fileId, fingerprint }
}
