/** A service that is one process of ours: started once, recognised later, and ended without touching any other. */
import { existsSync } from 'node:fs'
import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { logTail } from './daemon.mjs'
import { freePort } from './ports.mjs'
import { endProcess, findLost, isRunning } from './processes.mjs'
import { Refusal } from './say.mjs'

/** @typedef {import('./processes.mjs').ProcessIdentity} ProcessIdentity */
/**
 * The fields of a service in services.json.
 * @typedef {object} ServiceRecord
 * @property {number} [port] on 127.0.0.1, chosen once
 * @property {ProcessIdentity} [process]
 * @property {Record<string, string>} [details] what its kind wants to know again, e.g. endpoint and keys of an S3
 * server
 */
/**
 * @typedef {object} Place
 * @property {string} name of this service, e.g. `worker-1`
 * @property {string} home directory of all private services of one installation
 * @property {boolean} durable false: data need not outlive a power failure (tests)
 * @property {ServiceRecord} record what is known from earlier; {} at first
 * @property {(line: string) => void} say progress
 */
/**
 * A service as private-services.mjs supervises it.
 * @typedef {object} Service
 * @property {(place: Place) => Promise<ServiceRecord>} start starts it, or finds it running; returns what to record
 * @property {(place: Place) => Promise<boolean>} serves whether it serves now
 * @property {(place: Place) => Promise<void>} stop ends it; no error when it does not run
 */
/**
 * @typedef {object} ProcessKind
 * @property {string} program the name it is started by: so a server whose record was lost is recognised
 * @property {(home: string, name: string) => string} directory its own working directory, made by `start`
 * @property {(place: Place & { port: number, log: string }) => Promise<ProcessIdentity>} start resolves when it is ready
 * @property {(place: Place & { port: number }) => Promise<boolean>} answers asked in its own protocol
 * @property {NodeJS.Signals} [stopSignal] default SIGTERM
 * @property {number} [graceMs] how long it may take to end, before SIGKILL
 * @property {(home: string) => string} [fingerprint] of what it was started with; when that is another now, `start` restarts it
 */

/** @param {string} home @param {string} name */
export const logFile = (home, name) => join(home, 'logs', `${name}.log`)

/**
 * @param {ProcessKind} kind
 * @returns {Service}
 */
export function processService(kind) {
  /** @param {Place} place */
  async function serves({ record, ...place }) {
    if (!record.process || !record.port || !isRunning(record.process)) return false
    return await kind.answers({ ...place, record, port: record.port })
  }

  /** The recorded process when it runs, else any whose record was lost. @param {Place} place */
  async function running({ home, name, record }) {
    if (record.process && isRunning(record.process)) return [record.process]
    const directory = kind.directory(home, name)
    return existsSync(directory) ? findLost(await realpath(directory), kind.program) : []
  }

  /** @param {Place} place */
  async function stop(place) {
    const { name, say } = place
    for (const found of await running(place)) {
      say(`${name}: stopping (pid ${found.pid})`)
      await endProcess(found, kind.stopSignal, kind.graceMs)
    }
  }

  return {
    serves,
    stop,
    async start(place) {
      const { name, home, record, say } = place
      const fingerprint = kind.fingerprint?.(home)
      if (record.details?.['fingerprint'] === fingerprint && (await serves(place))) return record
      await stop(place) // one that hangs, or whose record was lost: two servers on the same data would ruin it
      const port = await freePort(record.port)
      if (record.port && port !== record.port)
        say(`${name}: port ${record.port} is taken by another program; now ${port}`)
      const log = logFile(home, name)
      await mkdir(join(home, 'logs'), { recursive: true, mode: 0o700 })
      const process = await kind.start({ ...place, port, log })
      if (!(await kind.answers({ ...place, port }))) {
        await endProcess(process)
        throw new Refusal(`${name} runs but does not answer on port ${port}.\n${await logTail(log)}`)
      }
      say(`${name}: 127.0.0.1:${port}`)
      return { port, process, ...(fingerprint && { details: { fingerprint } }) }
    },
  }
}
