/** The processes under attack: workers and maintenance, restarted whenever they end, until they are told to rest. */
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { checkout } from '../lib/places.mjs'

const WORKER = join(checkout, 'bundle', 'test-chaos-worker.mjs')
const MAINTENANCE = join(checkout, 'apps', 'maintenance', 'dist', 'main.js')
/** Between the end of a process and its next start. */
const REST_MS = 300

/** One place in the fleet, with its present process. */
class Slot {
  #start
  #name
  #resting = false
  #life = 0
  /** @type {import('node:child_process').ChildProcess | undefined} */
  child
  /** The worker id of the present process in the records. */
  id = ''
  /** @type {Promise<void>} */
  #ended = Promise.resolve()
  starts = 0

  /** @param {string} name @param {(id: string) => import('node:child_process').ChildProcess} start */
  constructor(name, start) {
    this.#name = name
    this.#start = start
  }

  run() {
    this.#ended = this.#again()
  }

  async #again() {
    while (!this.#resting) {
      this.id = `${this.#name}-${++this.#life}`
      this.starts++
      const child = this.#start(this.id)
      this.child = child
      await once(child, 'exit')
      if (!this.#resting) await delay(REST_MS)
    }
  }

  get alive() {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    if (this.alive) this.child?.kill(signal)
  }

  /** Ends it for good. */
  async rest() {
    this.#resting = true
    this.signal('SIGCONT')
    this.signal('SIGTERM')
    const patience = new AbortController()
    const hard = delay(30_000, undefined, { signal: patience.signal }).then(
      () => this.signal('SIGKILL'),
      () => undefined,
    )
    await this.#ended
    patience.abort()
    await hard
  }
}

/**
 * @param {{ env: Record<string, string>, workers: number, logs: string }} options `logs`: folder for their output
 */
export function startFleet({ env, workers, logs }) {
  mkdirSync(logs, { recursive: true })
  const whole = { ...process.env, ...env }
  /** @param {import('node:child_process').ChildProcess} child @param {string} name */
  const keep = (child, name) => {
    const file = createWriteStream(join(logs, `${name}.log`), { flags: 'a' })
    child.stdout?.pipe(file, { end: false })
    child.stderr?.pipe(file, { end: false })
    child.once('close', () => file.end())
    return child
  }
  const slots = Array.from({ length: workers }, (_, i) => {
    const name = `worker${i}`
    return new Slot(name, (id) =>
      keep(fork(WORKER, [id], { env: whole, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] }), name),
    )
  })
  const maintenance = new Slot('maintenance', () =>
    keep(spawn(process.execPath, [MAINTENANCE], { env: whole, stdio: ['ignore', 'pipe', 'pipe'] }), 'maintenance'),
  )
  for (const slot of [...slots, maintenance]) slot.run()
  return {
    workers: slots,
    maintenance,
    stop: async () => {
      await Promise.all([...slots, maintenance].map((slot) => slot.rest()))
    },
  }
}

/** @typedef {ReturnType<typeof startFleet>} Fleet */
