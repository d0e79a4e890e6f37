import { ByteBudget, type IngestDependencies, noStepHook, type StepHook } from '@sealfleet/attempts'
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { loadConfig } from '@sealfleet/config'
import { openObject } from '@sealfleet/format'
import { HsmPool } from '@sealfleet/hsm'
import { openIngestClient, waitForFiles, type FileStatus, type OwnedIngestClient } from '@sealfleet/queue'
import { acceptFiles, getFile } from '@sealfleet/records/files'
import type { DomainInput } from '@sealfleet/records/fleet'
import { openRecords, type Records } from '@sealfleet/records'
import { openStore, type Store } from '@sealfleet/store'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { redisUrl, type FreshBucket, type FreshDatabase, type FreshToken, type S3ServerKind } from '@sealfleet/testkit'
import { makeKeys, startFleet as startParts, tokenOptions } from '@sealfleet/testkit/fleet'

import { AsyncDisposableStack } from '@sealfleet/runtime'
import { runWorker, type RunningWorker, type WorkerSettings } from '../src/run.js'

/** A fleet with keys, and workers on it. */
export interface Fleet extends AsyncDisposable {
  readonly root: string
  readonly database: FreshDatabase
  readonly token: FreshToken
  readonly bucket: FreshBucket
  readonly records: Records
  readonly producer: OwnedIngestClient
  readonly env: NodeJS.ProcessEnv
  /** Ids of the key domains beside the default one. */
  readonly domains: readonly string[]
  /** Log lines of the workers started in this process. */
  readonly logs: string[]
  config(overrides?: NodeJS.ProcessEnv): WorkerSettings
  /** `moduleEnv` is for the HSM's agents, beside what finds the token. */
  startWorker(options?: {
    env?: NodeJS.ProcessEnv
    moduleEnv?: Readonly<Record<string, string>>
    step?: StepHook
    roundMs?: number
  }): Promise<RunningWorker>
  /** What an attempt needs, for running one without a queue. */
  readonly ports: IngestDependencies
  writeSource(name: string, content: Uint8Array | string): Promise<void>
  /** The file's content as a stream; `restore` gives it whole. */
  read(id: string, context?: Uint8Array): AsyncGenerator<Buffer>
  /** The file's content, read through the record, the store and the HSM. */
  restore(id: string, context?: Uint8Array): Promise<Buffer>
  /** Waits until every file is in a final state. */
  settled(ids: readonly string[]): Promise<ReadonlyMap<string, FileStatus>>
}

export async function startFleet(
  options: { s3?: S3ServerKind; versioning?: boolean; domains?: readonly DomainInput[] } = {},
): Promise<Fleet> {
  const closers = new AsyncDisposableStack()
  const own = <T extends AsyncDisposable>(thing: T): T => {
    closers.defer(() => thing[Symbol.asyncDispose]())
    return thing
  }
  try {
    const { s3, versioning, domains = [] } = options
    const parts = own(
      await startParts({ ...(s3 !== undefined && { s3 }), ...(versioning !== undefined && { versioning }) }),
    )
    const { dir: root, database, token, bucket } = parts
    const records = own(await openRecords(database.url))
    for (const domain of [{ id: 'default' }, ...domains]) await makeKeys(records, token, domain)
    const { endpoint, region, accessKeyId, secretAccessKey } = bucket
    const store = await openStore({ endpoint, region, bucket: bucket.bucket, accessKeyId, secretAccessKey })
    closers.defer(() => store.close())
    const hsm = own(await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1, sessions: 2 }))
    const env = { ...parts.env, SEALFLEET_HSM_SESSIONS: '4' }
    const producer = own(
      await openIngestClient({
        redisUrl: redisUrl(),
        prefix: String(parts.env['SEALFLEET_QUEUE_PREFIX']),
        accept: (files) => acceptFiles(records, files),
      }),
    )
    const logs: string[] = []
    const config = (overrides: NodeJS.ProcessEnv = {}): WorkerSettings =>
      loadConfig({ ...env, ...overrides }, { needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'] })
    const ports: IngestDependencies = {
      records,
      checkValues: hsm,
      hsm,
      store,
      roots: new Map([['in', path.join(root, 'in')]]),
      budget: new ByteBudget(2 ** 26),
      leaseSeconds: 60,
      leaseRenewSeconds: 15,
      step: noStepHook,
    }
    return {
      ports,
      root,
      database,
      token,
      bucket,
      records,
      producer,
      env,
      domains: domains.map(({ id }) => id),
      logs,
      config,
      startWorker: async ({ env: overrides = {}, moduleEnv = {}, step, roundMs } = {}) => {
        // What is not Sealfleet's goes to the HSM's agents, as from a worker's own environment.
        const others = Object.entries(overrides).flatMap(([name, value]) =>
          value === undefined || name.startsWith('SEALFLEET_') ? [] : [[name, value] as const],
        )
        const settings = {
          ...config(overrides),
          passthroughEnv: { ...token.env, ...Object.fromEntries(others), ...moduleEnv },
        }
        const running = await runWorker({
          config: settings,
          log: createLogger({ name: 'worker', level: 'debug', destination: { write: (line) => void logs.push(line) } }),
          metrics: createMetrics({ processMetrics: false }),
          workerId: `test-${randomUUID().slice(0, 8)}`,
          ...(step !== undefined && { step }),
          ...(roundMs !== undefined && { roundMs }),
        })
        return own(running)
      },
      writeSource: async (name, content) => {
        const file = path.join(root, 'in', name)
        await mkdir(path.dirname(file), { recursive: true })
        await writeFile(file, content)
      },
      read: (id, context = Buffer.alloc(0)) => read({ records, store, hsm }, id, context),
      restore: async (id, context = Buffer.alloc(0)) => {
        const chunks: Buffer[] = []
        for await (const chunk of read({ records, store, hsm }, id, context)) chunks.push(Buffer.from(chunk))
        return Buffer.concat(chunks)
      },
      settled: (ids) => waitForFiles((wanted) => statesOf(records, wanted), ids, { pollMs: 50, maxPollMs: 200 }),
      [Symbol.asyncDispose]: () => closers[Symbol.asyncDispose](),
    }
  } catch (error) {
    await closers[Symbol.asyncDispose]()
    throw error
  }
}

async function* read(
  { records, store, hsm }: { records: Records; store: Store; hsm: HsmPool },
  id: string,
  context: Uint8Array,
): AsyncGenerator<Buffer> {
  const attempt = (await getFile(records, id))?.committed
  if (!attempt) throw new Error(`file ${id} is not stored`)
  const pin = attempt.objectVersion === null ? { etag: attempt.etag ?? '' } : { version: attempt.objectVersion }
  const reader = store.reader({ key: attempt.objectKey, length: attempt.objectLength, ...pin })
  using opened = await openObject(reader, {
    keys: hsm,
    unwrapper: hsm,
    context,
    expectedFileId: id,
    ...(attempt.wrappedNonces !== null && { wrappedNonces: attempt.wrappedNonces }),
  })
  yield* opened.readAll()
}

async function statesOf(records: Records, ids: readonly string[]) {
  const files = await Promise.all(ids.map((id) => getFile(records, id)))
  return files.flatMap((found) =>
    found === undefined ? [] : [{ fileId: found.file.id, state: found.file.state, ...codeOf(found.file.lastFailure) }],
  )
}

const codeOf = (failure: { readonly code: string } | null) => (failure === null ? {} : { code: failure.code })
