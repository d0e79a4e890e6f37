/**
 * Private services below one home: start, stop, status. A second start finds the running ones; a stop ends only what
 * was started here; two scripts at once take turns.
 */
import { app } from './apps.mjs'
import { withLock } from './lock.mjs'
import { makePassable } from './files.mjs'
import { quickstartHome, testHome } from './places.mjs'
import { postgres } from './postgres.mjs'
import { logFile } from './process-service.mjs'
import { redis } from './redis.mjs'
import { say, Refusal } from './say.mjs'
import { radosgw, s3rver } from './s3-services.mjs'
import { loadState, saveState } from './service-state.mjs'
import { softhsm } from './softhsm.mjs'
import { waiting } from './waiting.mjs'

/** @typedef {import('./process-service.mjs').Service} Service */
/** @typedef {import('./service-state.mjs').ServiceState} ServiceState */
/** @typedef {{ name: string, state: 'running' | 'stopped' | 'there', pid?: number, address?: string, log?: string }} ServiceStatus */

/** @type {Record<string, Service>} */
const SERVERS = { redis, postgres, softhsm, s3rver, radosgw }

export const QUICKSTART_SERVICES = ['redis', 'postgres', 'softhsm', 's3rver']
export const TEST_SERVICES = ['redis', 'postgres', 's3rver', 'radosgw']

/** @param {string} name @returns {Service} `worker-1`, `worker-2`, …, `maintenance`, `ops` and `gateway` are the applications */
function serviceNamed(name) {
  const service = SERVERS[name] ?? (/^(worker-\d+|maintenance|ops|gateway)$/.test(name) ? app : undefined)
  if (service) return service
  throw new Refusal(
    `There is no service \`${name}\`; known are ${Object.keys(SERVERS).join(', ')}, worker-<N>, maintenance, ops, gateway.`,
  )
}

/**
 * The applications that were started below this home before; after a reboot they have to run again, too.
 *
 * @param {ServiceState} state
 */
export function recordedApplications(state) {
  return Object.keys(state.services).filter((name) => serviceNamed(name) === app)
}

/** @param {string} home @param {string} name @param {ServiceState} state */
function placeOf(home, name, state) {
  return { name, home, durable: home !== testHome, record: state.services[name] ?? {}, say }
}

/**
 * @template T
 * @param {string} home
 * @param {() => Promise<T>} work
 */
async function alone(home, work) {
  if (home === testHome) await makePassable(quickstartHome)
  await makePassable(home)
  return await withLock(home, work, { onWait: () => say('waiting: another script works on these services') })
}

/**
 * Starts the services that are not running, in parallel. Records every one that started even when another failed; then
 * throws the first failure.
 *
 * @param {{ home: string, names: readonly string[] }} options
 * @returns {Promise<ServiceState>}
 */
export async function startServices({ home, names }) {
  const services = names.map((name) => ({ name, service: serviceNamed(name) }))
  return await alone(home, async () => {
    const state = loadState(home)
    const left = new Set(names)
    const outcomes = await waiting(
      () => `starting ${[...left].join(', ')}`,
      async () =>
        await Promise.allSettled(
          services.map(async ({ name, service }) => {
            state.services[name] = await service.start(placeOf(home, name, state))
            saveState(home, state)
            left.delete(name)
          }),
        ),
    )
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    return state
  })
}

/**
 * Ends services of this home, applications first, and keeps their data, ports and passwords.
 *
 * @param {{ home: string, names?: readonly string[] | undefined }} options `names`: all when absent
 */
export async function stopServices({ home, names }) {
  await alone(home, async () => {
    const state = loadState(home)
    const wanted = names ?? [...new Set([...Object.keys(state.services), ...Object.keys(SERVERS)])]
    const applications = wanted.filter((name) => serviceNamed(name) === app)
    const servers = wanted.filter((name) => serviceNamed(name) !== app)
    for (const group of [applications, servers]) {
      const outcomes = await Promise.allSettled(
        group.map(async (name) => {
          await serviceNamed(name).stop(placeOf(home, name, state))
          const record = state.services[name]
          if (record) delete record.process
          saveState(home, state)
        }),
      )
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    }
  })
}

/**
 * @param {string} home
 * @returns {Promise<ServiceStatus[]>} of every service that was ever started here
 */
export async function statusOfServices(home) {
  const state = loadState(home)
  return await Promise.all(
    Object.entries(state.services).map(async ([name, record]) => {
      const running = await serviceNamed(name).serves(placeOf(home, name, state))
      const address = record.details?.['endpoint'] ?? (record.port ? `127.0.0.1:${record.port}` : undefined)
      /** @type {ServiceStatus} */
      const status = { name, state: !running ? 'stopped' : name === 'softhsm' ? 'there' : 'running' }
      if (running && record.process) status.pid = record.process.pid
      if (address) status.address = address
      if (record.port) status.log = logFile(home, name)
      return status
    }),
  )
}
