/**
 * A fleet of its own on the shared test servers: the one place that makes its database, token, bucket, queue prefix,
 * folder, keys and settings. Suites add what they start on it. It has an entry of its own (`@sealfleet/testkit/fleet`):
 * most tests need no HSM, and none should load it.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { openKeyAdmin } from '@sealfleet/hsm'
import type { Records } from '@sealfleet/records'
import { ensureDomain, type DomainInput } from '@sealfleet/records/fleet'
import { activateMasterKey, registerMasterKey } from '@sealfleet/records/keys'
import { AsyncDisposableStack } from '@sealfleet/runtime'

import { redisUrl } from './environment.js'
import { freshBucket, type FreshBucket, type S3ServerKind } from './fresh-bucket.js'
import { freshDatabase, type FreshDatabase } from './fresh-database.js'
import { freshToken, type FreshToken } from './fresh-token.js'
import { freshPrefix } from './names.js'
import { tempDir } from './temp-dir.js'

/** Disposed of, it takes everything away that it made. */
export interface TestFleet extends AsyncDisposable {
  /** A folder for anything, removed at the end. */
  readonly dir: string
  /** The folder of the source root, below `dir`. */
  readonly root: string
  readonly database: FreshDatabase
  readonly token: FreshToken
  readonly bucket: FreshBucket
  /** `SEALFLEET_…` addresses of all of it; SoftHSM's own variable is `token.env`. */
  readonly env: Readonly<Record<string, string>>
}

export interface FleetOptions {
  /** Default s3rver. */
  readonly s3?: S3ServerKind
  readonly versioning?: boolean
  readonly retentionDays?: number
  /** The name of the source root; default `in`. */
  readonly rootName?: string
}

/** Without keys: {@link makeKeys}, or a command of the test's own. Its store is the caller's with `s3: 'none'`. */
export function startFleet(options?: FleetOptions): Promise<TestFleet>
export function startFleet(options: { s3: 'none'; rootName?: string }): Promise<Omit<TestFleet, 'bucket'>>
export async function startFleet(
  options: Omit<FleetOptions, 's3'> & { readonly s3?: S3ServerKind | 'none' } = {},
): Promise<Omit<TestFleet, 'bucket'> & { readonly bucket?: FreshBucket }> {
  const { s3 = 's3rver', versioning = false, retentionDays, rootName = 'in' } = options
  const closers = new AsyncDisposableStack()
  const own = <T extends AsyncDisposable>(thing: T): T => {
    closers.defer(() => thing[Symbol.asyncDispose]())
    return thing
  }
  try {
    const dir = own(await tempDir()).path
    const root = join(dir, rootName)
    await mkdir(root)
    const database = own(await freshDatabase())
    const token = own(await freshToken())
    const store = { versioning, ...(retentionDays !== undefined && { retentionDays }) }
    const bucket = s3 === 'none' ? undefined : own(await freshBucket(s3, store))
    const env = {
      SEALFLEET_DATABASE_URL: database.url,
      SEALFLEET_REDIS_URL: redisUrl(),
      SEALFLEET_QUEUE_PREFIX: freshPrefix(),
      SEALFLEET_PKCS11_MODULE: token.module,
      SEALFLEET_PKCS11_TOKEN: token.label,
      SEALFLEET_PKCS11_PIN_FILE: token.pinFile,
      SEALFLEET_ROOTS: `${rootName}=${root}`,
      ...(bucket !== undefined && {
        SEALFLEET_S3_ENDPOINT: bucket.endpoint,
        SEALFLEET_S3_REGION: bucket.region,
        SEALFLEET_S3_BUCKET: bucket.bucket,
        SEALFLEET_S3_ACCESS_KEY_ID: bucket.accessKeyId,
        SEALFLEET_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
      }),
    }
    const dispose = () => closers[Symbol.asyncDispose]()
    return { dir, root, database, token, ...(bucket !== undefined && { bucket }), env, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await closers[Symbol.asyncDispose]()
    throw error
  }
}

/** What finds a token: a fresh one, or one of a private service. */
export interface TokenAddress {
  readonly module: string
  readonly label: string
  readonly pinFile: string
  readonly env: { readonly SOFTHSM2_CONF: string }
}

/** The token as the HSM's pool and key administration take it. */
export function tokenOptions({ module, label, pinFile, env }: TokenAddress) {
  return { module, token: label, pin: { kind: 'file', path: pinFile }, env } as const
}

/** Master keys of a domain: made in the token, registered with their check values, activated. */
export async function makeKeys(records: Records, token: TokenAddress, domain: DomainInput, version = 1): Promise<void> {
  await ensureDomain(records, domain)
  await using admin = await openKeyAdmin(tokenOptions(token))
  const suite = domain.suite ?? 1
  for (const role of ['enc', 'sig'] as const) {
    const ref = { role, domain: domain.id, suite, version }
    const evidence = await admin.generate(ref)
    const knownAnswer = await admin.knownAnswer(ref)
    await registerMasterKey(records, { ref, checkValue: await admin.checkValue(ref), knownAnswer, evidence })
    await activateMasterKey(records, { ref })
  }
  if (domain.nonceMode !== 'detached') return
  const ref = { role: 'kek', domain: domain.id, suite: 1, version } as const
  const evidence = await admin.generate(ref)
  await registerMasterKey(records, { ref, checkRecord: await admin.makeKekRecord(ref), evidence })
  await activateMasterKey(records, { ref })
}
