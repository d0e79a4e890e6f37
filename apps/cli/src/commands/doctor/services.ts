import { tlsOptions, type Config } from '@sealfleet/config'
import { missingCommands, QUEUES, queueOptions, tryQueue, tryWorker } from '@sealfleet/queue'
import { classify, CodedError, refusesReading } from '@sealfleet/failures'
import { fileBalance } from '@sealfleet/records/files'
import { heartbeat, listWorkers, sessionReport, tableRights } from '@sealfleet/records/upkeep'
import { keyAges } from '@sealfleet/records/keys'
import { migrationStatus, type Records } from '@sealfleet/records'
import { objectMetadata, type Store, type StoreError } from '@sealfleet/store'
import { openQueueRedis } from '@sealfleet/runtime'
import { printable } from '@sealfleet/telemetry/text'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { randomBytes, randomUUID } from 'node:crypto'
import { access, constants, stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { CommandContext } from '../../context.js'
import { mayNotBeRead } from '../../files/errno.js'
import { humanTime } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { openObjectStore } from '../../services/store.js'
import { isTaking, openBreakers, takesJobs, type OpenBreakerOf } from '../status/processes.js'
import { failed, ok, warning, type CheckResult } from './check.js'

/** More skew than this makes displayed lease times wrong and, from 15 minutes on, S3's signatures invalid. */
const SKEW_MS = 5_000
/** For a trial heartbeat that is rolled back. */
const TRIAL_WORKER = { host: 'doctor', pid: process.pid, version: '', concurrency: 0 }
/** Time-out of the trial of Redis, milliseconds. */
const TRIAL_MS = 10_000

/** Redis evicts no key, serves jobs as producers and workers need, and its clock agrees with ours. */
export async function checkRedis(
  context: CommandContext,
  { redis, protection }: Config<'redis'>,
): Promise<readonly CheckResult[]> {
  const findings: CheckResult[] = []
  try {
    const connection = await openQueueRedis({ redis, protection }, 'sealfleet-doctor')
    context.defer(() => connection.disconnect())
    findings.push(ok('redis', `${redis.address}, noeviction`))
    await tryQueues(connection, redis.prefix)
    findings.push(ok('queue', 'a job was added, taken, delayed, completed and removed'))
    const queue = new Queue(QUEUES.ingest, { connection, ...queueOptions(redis.prefix) })
    queue.on('error', () => undefined)
    context.defer(() => queue.close())
    if (await queue.isPaused()) findings.push(warning('intake', 'the ingest queue is paused', 'sealfleet queue resume'))
    const began = Date.now()
    const [seconds, micros] = await connection.time()
    const ended = Date.now()
    findings.push(clock(Number(seconds) * 1000 + Number(micros) / 1000 - (began + ended) / 2))
    return findings
  } catch (error) {
    return [...findings, failed(findings.length === 0 ? 'redis' : 'queue', error, 'redis')]
  }
}

/** The producer's and the worker's part of a job, on a separate queue. @throws CodedError with Redis's own words */
async function tryQueues(connection: Redis, prefix: string): Promise<void> {
  const signal = AbortSignal.timeout(TRIAL_MS)
  try {
    await tryQueue(connection, prefix)
    await tryWorker(connection, prefix, signal)
  } catch (error) {
    const { code } = classify(error, { during: 'redis' })
    const said = error instanceof Error ? error.message : String(error)
    if (code === 'REDIS_ACCESS_DENIED') {
      const missing = await missingCommands(connection, prefix, AbortSignal.timeout(TRIAL_MS))
      if (missing.length > 0) throw lacking(missing, error)
    }
    throw new CodedError(code, `Redis answers, but cannot do what queues need: ${said}`, { cause: error })
  }
}

function lacking(missing: readonly string[], cause: unknown): CodedError {
  return new CodedError('REDIS_ACCESS_DENIED', `Redis does not let this user run: ${missing.join(', ')}`, {
    fix: `add to the user's access list: ${missing.map((command) => `+${command}`).join(' ')}`,
    cause,
  })
}

function clock(skewMs: number): CheckResult {
  const seconds = (Math.abs(skewMs) / 1000).toFixed(1)
  return Math.abs(skewMs) <= SKEW_MS
    ? ok('clock', `${seconds} s from Redis's`)
    : warning(
        'clock',
        `${seconds} s from Redis's clock`,
        'synchronise the clocks (NTP): S3 refuses signatures 15 min off',
      )
}

export interface DatabaseFindings {
  readonly findings: readonly CheckResult[]
  /** undefined when the records cannot be opened */
  readonly records?: Records
}

/** The session uses our settings whatever the defaults of server, database and role are. */
async function checkSession(records: Records): Promise<readonly CheckResult[]> {
  const { settings, overridden, concerns } = await sessionReport(records)
  const others = Object.entries(overridden).map(([name, value]) => `${name} = ${printable(value)}`)
  const seen = `TimeZone ${settings['TimeZone']}, DateStyle ${settings['DateStyle']}, search_path ${settings['search_path']}`
  const beside = others.length === 0 ? '' : `; overrides this database's own ${others.join(', ')}`
  return concerns.length === 0
    ? [ok('session', seen + beside)]
    : concerns.map(({ text, fix }) => warning('session', text, fix))
}

/** Postgres answers, has the tables of this version, and its records are balanced. */
export async function checkDatabase(context: CommandContext, config: Config<'database'>): Promise<DatabaseFindings> {
  try {
    const records = await openDatabase(context, config)
    const { pending } = await migrationStatus(config.database.url.reveal(), { tls: tlsOptions(config.database.tls) })
    const books = await fileBalance(records)
    const wrong = books.difference !== 0 || books.deadWithoutLetter !== 0 || books.strayCommits !== 0
    return {
      records,
      findings: [
        pending.length === 0
          ? ok('database', `${config.database.address}, schema up to date`)
          : warning('database', `${pending.length} migrations are pending`, 'npm run migrate'),
        wrong
          ? failed('books', new Error(`conservation reads ${books.difference}, stray commits ${books.strayCommits}`))
          : ok('books', `${books.accepted} files accepted, records consistent`),
        ...(await checkSession(records)),
        ...(await checkRights(records)),
        await checkWorkers(records),
        await checkRotations(records),
      ],
    }
  } catch (error) {
    return { findings: [failed('database', error, 'database')] }
  }
}

/** The user may read every table, and write to all of them or (an auditor's) to none. A trial write is rolled back. */
async function checkRights(records: Records): Promise<readonly CheckResult[]> {
  const { user, unreadable, unwritable, written } = await tableRights(records)
  if (unreadable.length > 0) {
    const fix = `as the owner of the tables: GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${user}`
    const message = `${user} may not read: ${unreadable.join(', ')}`
    return [failed('rights', new CodedError('DB_ACCESS_DENIED', message, { fix }))]
  }
  if (unwritable.length === 0) {
    // A heartbeat that is rolled back. A standby, a full disk or a read-only default refuses it.
    await records
      .rehearsal()
      .transaction((tx) =>
        heartbeat(tx, { ...TRIAL_WORKER, id: `doctor-${randomUUID()}`, state: 'STOPPED', ttlSeconds: 1 }),
      )
    return [ok('rights', `${user} reads and writes`)]
  }
  return written > 0
    ? [warning('rights', `${user} may not write to: ${unwritable.join(', ')}`, 'grant it, unless this is intended')]
    : [ok('rights', `${user} reads every table and writes to none, as an auditor's user must`)]
}

/** Processes that take jobs, by their heartbeats: a connection to Redis may be any program's. */
async function checkWorkers(records: Records): Promise<CheckResult> {
  const workers = (await listWorkers(records)).filter((worker) => worker.alive && takesJobs(worker))
  const taking = workers.filter(isTaking)
  const why = whyOut(workers.flatMap(openBreakers))
  const waits = why.length === 0 ? '' : ` (${why.join(', ')})`
  if (workers.length === 0) return warning('workers', 'no worker is running', 'start one: node bundle/worker.mjs')
  const detail = `${taking.length} of ${workers.length} take jobs${waits}`
  return taking.length === workers.length
    ? ok('workers', detail)
    : warning(
        'workers',
        detail,
        'see `sealfleet status`; after the repair `sealfleet queue probe` makes them probe at once',
      )
}

/** Each dependency that is out, once, with the earliest time a worker lost it. */
function whyOut(open: readonly OpenBreakerOf[]): readonly string[] {
  const first = new Map<string, Date | null>()
  for (const { dependency, code, since } of open) {
    const name = `${dependency}: ${code}`
    const before = first.get(name)
    if (before === undefined || before === null || (since !== null && since < before))
      first.set(name, since ?? before ?? null)
  }
  return [...first].map(([name, since]) => (since === null ? name : `${name} since ${humanTime(since)}`))
}

/** No active master key is older than its domain's rotation period. */
async function checkRotations(records: Records): Promise<CheckResult> {
  const due = (await keyAges(records)).filter((key) => key.due)
  const [first] = due
  if (first === undefined) return ok('rotation', 'no rotation of master keys is due')
  const names = [...new Set(due.map(({ domainName }) => domainName))].join(', ')
  return warning('rotation', `due in ${names}`, `sealfleet keys rotate --domain ${first.domainName}`)
}

/** The bucket exists, stores and returns objects; reports what the store cannot do. */
export async function checkStore(context: CommandContext, config: Config<'s3'>): Promise<readonly CheckResult[]> {
  try {
    // Its warnings come again from the place of real objects, where checkWork reports them.
    const onWarning = (): void => undefined
    const store = await openObjectStore(config, { access: 'read-write', context, onWarning })
    context.defer(() => store.close())
    const { ifNoneMatch, ifMatch, versioning, listUploads, checksumInHead, lockedUntil } = store.capabilities
    const features = {
      'If-None-Match': ifNoneMatch.put && ifNoneMatch.complete,
      'If-Match': ifMatch,
      versions: versioning,
      'upload listing': listUploads,
      'checksums in HEAD': checksumInHead,
    }
    const named = (wanted: boolean): string =>
      Object.entries(features)
        .filter(([, has]) => has === wanted)
        .map(([name]) => name)
        .join(', ') || 'nothing'
    return [
      ok('s3', `bucket ${store.bucket}: has ${named(true)}; lacks ${named(false)}`),
      ...(config.s3.pathMetadata === 'plain'
        ? [ok('names', 'workers with these settings write sources into the metadata of objects, in plain text')]
        : []),
      ...(lockedUntil === undefined ? [] : [lockedFinding(lockedUntil)]),
      ...(await checkWork(context, config)),
      ...(await checkSecret(context, config)),
    ]
  } catch (error) {
    return [failed('s3', error, 's3')]
  }
}

/** Below the prefix of the default domain. No object's key begins with this: a file id has no dot. */
const TRIAL_PREFIX = 'default/.sealfleet-probe/'

/** Does to objects what workers and maintenance do, below the real prefix: a policy may allow it elsewhere only. */
async function checkWork(context: CommandContext, config: Config<'s3'>): Promise<readonly CheckResult[]> {
  const check = 's3 objects'
  const warnings: CheckResult[] = []
  const onWarning = ({ code, message, fix = '' }: StoreError): void => {
    // A separate finding reports this.
    if (code !== 'OBJECT_LOCKED') warnings.push(warning(check, message, fix))
  }
  try {
    // Opening writes, completes and aborts uploads, and deletes, below that prefix.
    const store = await openObjectStore(config, { access: 'read-write', context, probePrefix: TRIAL_PREFIX, onWarning })
    context.defer(() => store.close())
    // Where objects cannot be deleted, no trial object is written.
    if (store.capabilities.lockedUntil !== undefined) {
      await store.check()
      return warnings.length > 0 ? warnings : [ok(check, 'a part of an upload was written and removed')]
    }
    await tryObject(store, `${TRIAL_PREFIX}${randomUUID()}`)
    return warnings.length > 0 ? warnings : [ok(check, 'written, uploaded in parts, read, listed and deleted')]
  } catch (error) {
    return [failed(check, error, 's3')]
  }
}

async function tryObject(store: Store, key: string): Promise<void> {
  const body = Buffer.from('sealfleet doctor checks whether objects can be stored here; this one may be deleted\n')
  const metadata = objectMetadata({ fileId: randomUUID(), attemptId: randomUUID(), context: Buffer.alloc(0) })
  const { etag, version } = await store.put({ key, length: body.length, body: Readable.from([body]), metadata })
  try {
    const reader = store.reader({ key, length: body.length, etag, ...(version !== undefined && { version }) })
    const parts: Uint8Array[] = []
    for await (const part of reader.read(10, 20)) parts.push(part)
    if (!Buffer.concat(parts).equals(body.subarray(10, 30))) throw new Error('the store returns other bytes')
    // Sweeps and scans depend on these lists: an object that is not listed seems not to exist.
    const listed = await Promise.all([isListed(store.list(key), key), isListed(store.listVersions(key), key)])
    if (listed.includes(false)) throw new Error('the store does not list an object that was just written')
    if (store.capabilities.listUploads) for await (const _upload of store.listUploads(key)) break
  } finally {
    if (store.capabilities.delete) await (version === undefined ? store.delete(key) : store.deleteVersion(key, version))
  }
}

async function isListed(list: AsyncIterable<{ readonly key: string }>, key: string): Promise<boolean> {
  for await (const entry of list) if (entry.key === key) return true
  return false
}

/** Usually configured on purpose; reported because deletions then wait for the lock to end. */
function lockedFinding(until: Date): CheckResult {
  const found = `the bucket locks what it receives: the last trial object is locked until ${humanTime(until)}`
  return ok('object lock', `${found}; rm, sweep and retention leave objects until their own date`)
}

/** A store that accepts a request signed with another secret accepts any request. */
async function checkSecret(context: CommandContext, config: Config<'s3'>): Promise<readonly CheckResult[]> {
  const check = 's3 signatures'
  const secretAccessKey = randomBytes(30).toString('base64url')
  try {
    const store = await openObjectStore(config, { access: 'read-only', context, secretAccessKey })
    store.close()
  } catch (error) {
    const { code } = classify(error, { during: 's3' })
    return code === 'S3_ACCESS_DENIED' ? [ok(check, 'another secret is refused')] : []
  }
  const fix = 'make the store check signatures: anyone who reaches it can read, replace and delete every object'
  return [warning(check, 'the store accepts any secret for this access key', fix)]
}

/** The configured roots are folders that this process can read. */
export async function checkRoots({ roots }: Config<'roots'>): Promise<readonly CheckResult[]> {
  return Promise.all(
    [...roots].map(async ([name, folder]) => {
      const check = `root ${name}`
      try {
        const stats = await stat(folder)
        if (!stats.isDirectory()) return warning(check, `${folder} is not a folder`, 'correct SEALFLEET_ROOTS')
        await access(folder, constants.R_OK | constants.X_OK)
        return ok(check, folder)
      } catch (error) {
        const refuses = refusesReading(folder)
        if (refuses !== undefined)
          return warning(
            check,
            mayNotBeRead(refuses),
            'correct its permissions, also for the users that workers run as',
          )
        const why = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? 'unreadable') : 'unreadable'
        return warning(check, `${folder}: ${why}`, 'mount or create it, or correct SEALFLEET_ROOTS, on every worker')
      }
    }),
  )
}
