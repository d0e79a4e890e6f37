import { tlsOptions, type Config } from '@sealfleet/config'
import { assertNoEviction, connectProducer, QUEUES, queueOptions } from '@sealfleet/jobs'
import { conservation, keyAges, migrationStatus, sessionReport, type Records } from '@sealfleet/records'
import { printable } from '@sealfleet/telemetry/text'
import { Queue } from 'bullmq'
import { access, constants, stat } from 'node:fs/promises'
import type { CommandContext } from '../context.js'
import { openDatabase } from '../services/records.js'
import { openObjectStore } from '../services/store.js'
import { failed, ok, warning, type Finding } from './check.js'

/** More skew than this spoils leases' displays and, from 15 minutes on, S3's signatures. */
const SKEW_MS = 5_000

/** Redis answers, keeps every key, has workers; and its clock agrees with ours. */
export async function checkRedis(context: CommandContext, { redis }: Config<'redis'>): Promise<readonly Finding[]> {
  try {
    const connection = await connectProducer(redis.url.reveal(), {
      connectionName: 'sealfleet-doctor',
      tls: tlsOptions(redis.tls),
    })
    context.defer(() => connection.disconnect())
    await assertNoEviction(connection)
    const began = Date.now()
    const [seconds, micros] = await connection.time()
    const ended = Date.now()
    const queue = new Queue(QUEUES.ingest, { connection, ...queueOptions(redis.prefix) })
    queue.on('error', () => undefined)
    context.defer(() => queue.close())
    const workers = await queue.getWorkersCount()
    const paused = await queue.isPaused()
    return [
      ok('redis', `${redis.address}, noeviction`),
      paused
        ? warning('workers', `the ingest queue is paused; ${workers} connected`, 'sealfleet queue resume')
        : workers === 0
          ? warning('workers', 'no worker is connected', 'start one: node apps/worker/dist/main.js')
          : ok('workers', `${workers} connected`),
      clock(Number(seconds) * 1000 + Number(micros) / 1000 - (began + ended) / 2),
    ]
  } catch (error) {
    return [failed('redis', error, 'redis')]
  }
}

function clock(skewMs: number): Finding {
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
  readonly findings: readonly Finding[]
  /** undefined when they can't be opened */
  readonly records?: Records
}

/** The session's settings are ours whatever the server, the database and the role have as defaults. */
async function checkSession(records: Records): Promise<readonly Finding[]> {
  const { settings, overridden, concerns } = await sessionReport(records)
  const others = Object.entries(overridden).map(([name, value]) => `${name} = ${printable(value)}`)
  const seen = `TimeZone ${settings['TimeZone']}, DateStyle ${settings['DateStyle']}, search_path ${settings['search_path']}`
  const beside = others.length === 0 ? '' : `; overrides this database's own ${others.join(', ')}`
  return concerns.length === 0
    ? [ok('session', seen + beside)]
    : concerns.map(({ text, fix }) => warning('session', text, fix))
}

/** Postgres answers, has the tables of this version, and its books are balanced. */
export async function checkDatabase(context: CommandContext, config: Config<'database'>): Promise<DatabaseFindings> {
  try {
    const records = await openDatabase(context, config)
    const { pending } = await migrationStatus(config.database.url.reveal(), { tls: tlsOptions(config.database.tls) })
    const books = await conservation(records)
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
        await checkRotations(records),
      ],
    }
  } catch (error) {
    return { findings: [failed('database', error, 'database')] }
  }
}

/** No active master key is older than its domain wants. */
async function checkRotations(records: Records): Promise<Finding> {
  const due = (await keyAges(records)).filter((key) => key.due)
  const [first] = due
  if (first === undefined) return ok('rotation', 'no rotation of master keys is due')
  const names = [...new Set(due.map(({ domainName }) => domainName))].join(', ')
  return warning('rotation', `due in ${names}`, `sealfleet keys rotate --domain ${first.domainName}`)
}

/** The bucket is there, takes and gives objects; says what the store can't do. */
export async function checkStore(context: CommandContext, config: Config<'s3'>): Promise<readonly Finding[]> {
  try {
    const store = await openObjectStore(config, { access: 'read-write', context })
    context.defer(() => store.close())
    const { ifNoneMatch, ifMatch, versioning, listUploads, checksumInHead } = store.capabilities
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
    return [ok('s3', `bucket ${store.bucket}: has ${named(true)}; lacks ${named(false)}`)]
  } catch (error) {
    return [failed('s3', error, 's3')]
  }
}

/** The roots that this machine names are folders that can be read. */
export async function checkRoots({ roots }: Config<'roots'>): Promise<readonly Finding[]> {
  return Promise.all(
    [...roots].map(async ([name, folder]) => {
      const check = `root ${name}`
      try {
        const stats = await stat(folder)
        if (!stats.isDirectory()) return warning(check, `${folder} is not a folder`, 'correct SEALFLEET_ROOTS')
        await access(folder, constants.R_OK | constants.X_OK)
        return ok(check, folder)
      } catch (error) {
        const why = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? 'unreadable') : 'unreadable'
        return warning(check, `${folder}: ${why}`, 'mount or make it, or correct SEALFLEET_ROOTS, on every worker')
      }
    }),
  )
}
