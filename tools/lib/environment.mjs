/** The variables with the services' addresses: the application's, and those of the tests. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from './files.mjs'
import { findSoftHsm } from './find-tools.mjs'
import { defaultRoots } from './places.mjs'
import { adminUrl, applicationDatabase } from './postgres.mjs'
import { redisUrl } from './redis.mjs'
import { Refusal } from './say.mjs'

/** @typedef {import('./service-state.mjs').ServiceState} ServiceState */

/** The bucket of a private installation; made by the quickstart. */
export const BUCKET = 'sealfleet'

/**
 * The application's variables, for the started services. Makes the database and its role when missing.
 *
 * @param {string} home
 * @param {ServiceState} state
 * @returns {Promise<Record<string, string>>}
 */
export async function applicationEnvironment(home, state) {
  const { redis, postgres, softhsm, s3rver, radosgw } = state.services
  /** @type {Record<string, string>} */
  const env = {}
  if (postgres?.port) {
    env['SEALFLEET_DATABASE_URL'] = await applicationDatabase({ home, port: postgres.port, name: 'sealfleet' })
  }
  if (redis?.port) env['SEALFLEET_REDIS_URL'] = await redisUrl(home, redis.port)
  const s3 = s3rver?.details ?? radosgw?.details
  if (s3) {
    env['SEALFLEET_S3_ENDPOINT'] = field(s3, 'endpoint')
    env['SEALFLEET_S3_REGION'] = field(s3, 'region')
    env['SEALFLEET_S3_BUCKET'] = BUCKET
    env['SEALFLEET_S3_ACCESS_KEY_ID'] = field(s3, 'accessKeyId')
    env['SEALFLEET_S3_SECRET_ACCESS_KEY'] = field(s3, 'secretAccessKey')
  }
  if (softhsm?.details) {
    env['SEALFLEET_PKCS11_MODULE'] = field(softhsm.details, 'module')
    env['SEALFLEET_PKCS11_TOKEN'] = field(softhsm.details, 'label')
    env['SEALFLEET_PKCS11_PIN_FILE'] = field(softhsm.details, 'pinFile')
    env['SOFTHSM2_CONF'] = field(softhsm.details, 'conf')
  }
  for (const folder of Object.values(defaultRoots(home))) await mkdir(folder, { recursive: true, mode: 0o700 })
  const roots = Object.entries({ ...defaultRoots(home), ...state.roots })
  env['SEALFLEET_ROOTS'] = roots.map(([name, path]) => `${name}=${path}`).join(',')
  return env
}

/**
 * The tests' variables, SEALFLEET_TEST_*, for the started services.
 *
 * @param {string} home
 * @param {ServiceState} state
 * @returns {Promise<Record<string, string>>}
 */
export async function testEnvironment(home, state) {
  const { redis, postgres } = state.services
  /** @type {Record<string, string>} */
  const env = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' }
  if (redis?.port) env['SEALFLEET_TEST_REDIS_URL'] = await redisUrl(home, redis.port)
  if (postgres?.port) env['SEALFLEET_TEST_DATABASE_URL'] = await adminUrl(home, postgres.port)
  for (const [name, prefix] of /** @type {const} */ ([
    ['s3rver', 'S3RVER'],
    ['radosgw', 'RGW'],
  ])) {
    const s3 = state.services[name]?.details
    if (!s3) continue
    env[`SEALFLEET_TEST_${prefix}_ENDPOINT`] = field(s3, 'endpoint')
    env[`SEALFLEET_TEST_${prefix}_REGION`] = field(s3, 'region')
    env[`SEALFLEET_TEST_${prefix}_ACCESS_KEY_ID`] = field(s3, 'accessKeyId')
    env[`SEALFLEET_TEST_${prefix}_SECRET_ACCESS_KEY`] = field(s3, 'secretAccessKey')
  }
  const module = findSoftHsm()
  if (module) env['SEALFLEET_TEST_SOFTHSM_MODULE'] = module
  return env
}

/** @param {Record<string, string>} details @param {string} name */
function field(details, name) {
  const value = details[name]
  if (value === undefined) throw new Refusal(`services.json lacks \`${name}\`; stop the services and start them again.`)
  return value
}

/**
 * `NAME=value` lines that a shell, Node's parseEnv and our own reader read alike: values that a shell would not take
 * literally stand in single quotes, and in double ones if they contain an apostrophe. (Docker's --env-file takes quotes
 * literally.)
 *
 * @param {Record<string, string>} env
 */
export function formatEnvironment(env) {
  const lines = Object.entries(env).map(([name, value]) => {
    if (/^[\w./:@=,+%-]*$/.test(value)) return `${name}=${value}`
    if (!/['\n]/.test(value)) return `${name}='${value}'`
    if (!/["$\\`\n]/.test(value)) return `${name}="${value}"`
    throw new Refusal(
      `${name}: its value holds a line break, or an apostrophe beside one of " $ \\ \`: no quoting fits it.`,
    )
  })
  return `${lines.join('\n')}\n`
}

/** @param {string} home @param {Record<string, string>} env */
export async function writeEnvironment(home, env) {
  const head = '# Written by tools/services.mjs. Holds secrets of the private development services.\n'
  await writeWhole(join(home, 'env'), `${head}${formatEnvironment(env)}`)
}
