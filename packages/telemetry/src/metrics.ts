import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'

import { hsmMetrics } from './hsm-metrics.js'

const PREFIX = 'sealfleet_'

/** Seconds: from a short request to a large upload (1 h). */
const LONG_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]

export interface MetricsOptions {
  /** also the process's own metrics (memory, event loop, garbage collection); true except in tests that need silence */
  readonly processMetrics?: boolean
  /** added to every series, e.g. `{ program: 'worker' }` */
  readonly defaultLabels?: Readonly<Record<string, string>>
}

/**
 * A registry with every metric of Sealfleet, so that names and labels are in one place and dashboards can rely on them.
 * Labels have few values (codes, states, steps, names of key domains); ids, paths and messages never become labels. A
 * registry belongs to one program; none is global.
 */
export function createMetrics({ processMetrics = true, defaultLabels }: MetricsOptions = {}) {
  const registry = new Registry()
  if (defaultLabels !== undefined) registry.setDefaultLabels(defaultLabels)
  if (processMetrics) collectDefaultMetrics({ register: registry })
  const registers = [registry]

  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter({ name: PREFIX + name, help, labelNames: [...labelNames], registers })
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
    new Gauge({ name: PREFIX + name, help, labelNames: [...labelNames], registers })
  const histogram = <L extends string>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly L[] = [],
  ): Histogram<L> => new Histogram({ name: PREFIX + name, help, buckets, labelNames: [...labelNames], registers })

  return {
    registry,

    /** outcome: stored, skipped, failed, fenced, released */
    attempts: counter('attempts_total', 'Ingest attempts that ended, by outcome and failure code', ['outcome', 'code']),
    attemptSeconds: histogram('attempt_duration_seconds', 'Duration of ingest attempts', LONG_S, ['outcome']),
    failures: counter('failures_total', 'Failures by code and class', ['code', 'class']),
    unclassified: counter('unclassified_failures_total', 'Failures without a code: each one needs a new code'),
    plaintextBytes: counter('plaintext_bytes_total', 'Bytes of files sealed and committed'),
    objectBytes: counter('object_bytes_total', 'Bytes of sealed objects committed'),

    /** outcome: done, skipped, failed, retried, released, fenced */
    rekeyAttempts: counter(
      'rekey_attempts_total',
      'Tries at re-encrypting a stored file, by outcome and failure code',
      ['outcome', 'code'],
    ),
    rekeySeconds: histogram('rekey_duration_seconds', 'Duration of tries at re-encrypting a stored file', LONG_S, [
      'outcome',
    ]),
    rekeyBytes: counter('rekey_plaintext_bytes_total', 'Bytes of files re-encrypted and committed'),
    rekeyItems: gauge(
      'rekey_items',
      'Files of the latest rekey runs, those that are open or ended within a week, by state',
      ['state'],
    ),
    rekeyRuns: gauge('rekey_open_runs', 'Rekey runs that have not ended, by state', ['state']),

    workerJobs: gauge('worker_jobs', 'Jobs this process is running', ['queue']),
    workerBytesInFlight: gauge('worker_bytes_in_flight', 'Bytes of part buffers this process holds'),
    workerBytesBudget: gauge('worker_bytes_budget', 'Bytes of part buffers this process may hold'),
    workerLastProgress: gauge(
      'worker_last_progress_timestamp_seconds',
      'When this process last moved a byte or ended a job',
    ),
    workerReady: gauge('worker_ready', '1 when this process takes jobs'),

    gatewayRequests: counter('gateway_requests_total', 'Requests to the HTTP API that ended, by operation and status', [
      'operation',
      'status',
    ]),
    gatewaySeconds: histogram('gateway_request_duration_seconds', 'Duration of requests to the HTTP API', LONG_S, [
      'operation',
    ]),
    gatewayOpen: gauge('gateway_open_requests', 'Requests to the HTTP API that this process is answering'),
    gatewaySentBytes: counter('gateway_sent_plaintext_bytes_total', 'Bytes of plaintext sent to readers'),
    gatewayCut: counter('gateway_cut_downloads_total', 'Downloads that were cut off after their first byte, by code', [
      'code',
    ]),

    queueJobs: gauge('queue_jobs', 'Jobs in a queue by state', ['queue', 'state']),
    queueOldestSeconds: gauge('queue_oldest_job_seconds', 'Age of the oldest waiting job', ['queue']),
    queuePaused: gauge('queue_paused', '1 when the intake of a queue is paused', ['queue']),

    files: gauge('files', 'Accepted files by state', ['state']),
    filesAgeSeconds: gauge(
      'files_age_seconds',
      'Age of the count of files, which ops does not repeat at each scrape when it takes long',
    ),
    conservation: gauge(
      'conservation_imbalance_files',
      'accepted − (queued + running + stored + dead + discarded + deleted); anything but 0 is a lost file',
    ),
    deadLetters: gauge('dead_letters', 'Open dead letters by code', ['code']),
    retryingFiles: gauge('retrying_files', 'Files that failed and will be retried, by the code of their last failure', [
      'code',
    ]),
    retryingOldestSeconds: gauge(
      'retrying_oldest_seconds',
      'Age of the oldest file that failed and will be retried, since it was accepted',
      ['code'],
    ),

    ...hsmMetrics({ counter, gauge, histogram }),

    maintenanceRuns: counter('maintenance_runs_total', 'Maintenance tasks that ended, by outcome', ['task', 'outcome']),
    maintenanceSeconds: histogram('maintenance_duration_seconds', 'Duration of maintenance tasks', LONG_S, ['task']),
    maintenanceLastRun: gauge(
      'maintenance_last_run_timestamp_seconds',
      'When a maintenance task last succeeded in this process',
      ['task'],
    ),
    maintenanceCounts: counter(
      'maintenance_actions_total',
      'Findings and actions of maintenance: jobs lost, requeued, objects deleted, uploads aborted, …',
      ['task', 'thing'],
    ),
    maintenanceFindings: gauge('maintenance_findings', 'Findings that need attention, as of the last run', ['task']),
    auditUnsealed: gauge('audit_unsealed_rows', 'Rows of the audit log that are in no batch of its chain yet'),
    auditUnsealedSeconds: gauge('audit_unsealed_oldest_seconds', 'Age of the oldest of them'),
    auditCheckpoint: gauge('audit_checkpoint_timestamp_seconds', 'When the chain was last seen signed and copied'),
    keyRotationDue: gauge(
      'key_rotation_due',
      '1 when an active master key is older than the rotation period of its domain',
      ['domain', 'role'],
    ),
    keyAgeDays: gauge('key_age_days', 'Age of the active master keys', ['domain', 'role']),
    outboxDepth: gauge('outbox_files', 'Files accepted in the outbox that have no job yet'),
    outboxOldestSeconds: gauge('outbox_oldest_seconds', 'Age of the oldest of them'),

    breakerOpen: gauge('breaker_open', '1 when the breaker of a dependency is open', ['dependency']),
    breakerOpenings: counter('breaker_openings_total', 'Times a breaker opened, by what opened it', [
      'dependency',
      'code',
    ]),
    alerts: counter('pages_total', 'Failures that page on-call', ['code']),
  }
}

export type Metrics = ReturnType<typeof createMetrics>

/** Counts a failure, in one place: by code, whether it pages, whether it is unclassified. */
export function countFailure(
  metrics: Metrics,
  failure: { readonly code: string; readonly class: string; readonly page: boolean },
): void {
  metrics.failures.inc({ code: failure.code, class: failure.class })
  if (failure.class === 'unclassified') metrics.unclassified.inc()
  if (failure.page) metrics.alerts.inc({ code: failure.code })
}
