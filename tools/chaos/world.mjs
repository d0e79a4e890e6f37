/** The chaos run's own services, keys, bucket and settings, shared with no other run. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { migrate, openRecords } from '@sealfleet/records'
import { startFaultProxy, startStatementProxy } from '@sealfleet/testkit'
import { makeKeys } from '@sealfleet/testkit/fleet'
import { applicationEnvironment } from '../lib/environment.mjs'
import { quickstartHome } from '../lib/places.mjs'
import { adminUrl } from '../lib/postgres.mjs'
import { startServices, stopServices } from '../lib/private-services.mjs'
import { loadState } from '../lib/service-state.mjs'
import { KeystreamCheck } from './keystream.mjs'

export const home = join(quickstartHome, 'chaos')
const SERVICES = ['redis', 'postgres', 'softhsm', 'radosgw']
const PART = 5 * 1024 * 1024

/** Short enough that leases run out in a run of minutes; the mechanisms are the same at 60 s. */
export const LEASE_S = 4
/** How often BullMQ looks for jobs of dead workers: half a lease (apps/worker). */
export const STALL_MS = LEASE_S * 500

const SETTINGS = {
  SEALFLEET_LEASE_SECONDS: String(LEASE_S),
  SEALFLEET_LEASE_RENEW_SECONDS: '1',
  SEALFLEET_CONCURRENCY: '4',
  SEALFLEET_HSM_AGENTS: '1',
  SEALFLEET_HSM_SESSIONS: '4',
  SEALFLEET_S3_PART_SIZE: '5MiB',
  SEALFLEET_S3_CONNECT_TIMEOUT_MS: '2000',
  SEALFLEET_S3_REQUEST_TIMEOUT_MS: '8000',
  SEALFLEET_S3_MAX_ATTEMPTS: '2',
  SEALFLEET_DATABASE_CONNECT_TIMEOUT_MS: '2000',
  SEALFLEET_DATABASE_STATEMENT_TIMEOUT_MS: '5000',
  SEALFLEET_SHUTDOWN_GRACE_SECONDS: '5',
  SEALFLEET_RECONCILE_SECONDS: '3',
  SEALFLEET_SWEEP_SECONDS: '5',
  SEALFLEET_SCAN_SECONDS: '20',
  SEALFLEET_SWEEP_GRACE_SECONDS: '10',
}

/** The three kinds of domain: inline nonces, detached nonces, suite 2. */
export const DOMAINS = /** @type {const} */ ([
  { id: 'default', name: 'default' },
  {
    id: 'c4a05000-0000-4000-8000-000000000001',
    name: 'detached',
    nonceMode: 'detached',
    lossAcknowledged: true,
  },
  { id: 'c4a05000-0000-4000-8000-000000000002', name: 'suite-2', suite: 2 },
])

/** Starts everything, empty. `close` ends only what this started. */
export async function openWorld() {
  // Remains of an interrupted run are deleted.
  await stopServices({ home, names: SERVICES })
  await rm(home, { recursive: true, force: true })
  const state = await startServices({ home, names: SERVICES })
  const direct = await applicationEnvironment(home, state)
  const keystream = new KeystreamCheck()
  const s3 = await startFaultProxy(need(direct, 'SEALFLEET_S3_ENDPOINT'), {
    onBody: ({ path, partNumber }, body) => {
      if (path.includes('.sealfleet-probe')) return
      const offset = ((partNumber ?? 1) - 1) * PART
      keystream.add(path, offset, body, partNumber === undefined || body.length < PART)
    },
  })
  const port = state.services['postgres']?.port ?? 0
  const postgres = await startStatementProxy(need(direct, 'SEALFLEET_DATABASE_URL'))
  const root = join(home, 'in')
  const env = {
    ...direct,
    ...SETTINGS,
    SEALFLEET_DATABASE_URL: postgres.url,
    SEALFLEET_S3_ENDPOINT: s3.endpoint,
    SEALFLEET_ROOTS: `in=${root}`,
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
  }
  await makeBucket(direct)
  await migrate(need(direct, 'SEALFLEET_DATABASE_URL'))
  await makeAllKeys(direct)
  return {
    root,
    env,
    /** The same settings without the proxies: for the checks, not for the processes under attack. */
    direct: {
      ...env,
      SEALFLEET_DATABASE_URL: need(direct, 'SEALFLEET_DATABASE_URL'),
      SEALFLEET_S3_ENDPOINT: need(direct, 'SEALFLEET_S3_ENDPOINT'),
    },
    adminUrl: await adminUrl(home, port),
    keystream,
    s3,
    postgres,
    /** The process of a service, as it is now. @param {string} name */
    processOf: (name) => loadState(home).services[name]?.process,
    /** Starts a service that has ended, on its old port. @param {string} name */
    restart: (name) => startServices({ home, names: [name] }),
    tokens: join(home, 'softhsm', 'tokens'),
    close: async () => {
      await s3[Symbol.asyncDispose]()
      await postgres[Symbol.asyncDispose]()
      await stopServices({ home, names: SERVICES })
    },
  }
}

/** @typedef {Awaited<ReturnType<typeof openWorld>>} World */

/** @param {Record<string, string>} env @param {string} name */
export function need(env, name) {
  const value = env[name]
  if (value === undefined) throw new Error(`${name} is missing`)
  return value
}

/** @param {Record<string, string>} env */
async function makeBucket(env) {
  const client = new S3Client({
    endpoint: need(env, 'SEALFLEET_S3_ENDPOINT'),
    region: need(env, 'SEALFLEET_S3_REGION'),
    forcePathStyle: true,
    credentials: {
      accessKeyId: need(env, 'SEALFLEET_S3_ACCESS_KEY_ID'),
      secretAccessKey: need(env, 'SEALFLEET_S3_SECRET_ACCESS_KEY'),
    },
  })
  await client.send(new CreateBucketCommand({ Bucket: need(env, 'SEALFLEET_S3_BUCKET') }))
  client.destroy()
}

/** @param {Record<string, string>} env */
async function makeAllKeys(env) {
  const connection = await openRecords(need(env, 'SEALFLEET_DATABASE_URL'))
  const token = {
    module: need(env, 'SEALFLEET_PKCS11_MODULE'),
    label: need(env, 'SEALFLEET_PKCS11_TOKEN'),
    pinFile: need(env, 'SEALFLEET_PKCS11_PIN_FILE'),
    env: { SOFTHSM2_CONF: need(env, 'SOFTHSM2_CONF') },
  }
  try {
    for (const domain of DOMAINS) await makeKeys(connection, token, domain)
  } finally {
    await connection.close()
  }
}
