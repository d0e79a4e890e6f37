// A worker without a queue, whose memory is searched by memory.test.ts. It runs what standard input asks for, one line of
// JSON a time, answers with a line when that is over, and then stands still until the next one.
import { hsmTokens, loadConfig } from '@sealfleet/config'
import { FormatError, openObject } from '@sealfleet/format'
import { HsmPool } from '@sealfleet/hsm'
import { openRecords } from '@sealfleet/records'
import { openStore } from '@sealfleet/store'
import { createLogger } from '@sealfleet/telemetry'
import { createInterface } from 'node:readline'
import { randomUUID } from 'node:crypto'
import { ByteBudget, ingest } from '@sealfleet/attempts'
import { storeOptions } from '../../../packages/runtime/dist/open.js'

const config = loadConfig(process.env, { needs: ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops'] })
const records = await openRecords(config.database.url.reveal())
const store = await openStore(storeOptions(config, createLogger({ name: 'worker', level: 'fatal' })))
const pool = await HsmPool.open({ tokens: hsmTokens(config), agents: 2, sessions: 2 })
const hsm = pool.confirmed()
/** @type {((value?: unknown) => void) | undefined} */
let goOn
const say = (/** @type {object} */ answer) => process.stdout.write(`${JSON.stringify(answer)}\n`)

const asked = {
  go: () => goOn?.(),
  /** Stores files side by side; `stop` aborts each when its first part is confirmed, `hold` waits before the upload. */
  store: async (/** @type {any} */ { requests, stop, hold }) => {
    const outcomes = requests.map(async (/** @type {any} */ request) => {
      const abort = new AbortController()
      const ports = {
        records,
        checkValues: pool,
        hsm,
        store,
        roots: config.roots,
        budget: new ByteBudget(2 ** 27),
        leaseSeconds: 60,
        leaseRenewSeconds: 15,
        step: async (/** @type {string} */ step, /** @type {string} */ when) => {
          if (!hold || step !== 'upload' || when !== 'before') return
          say({ holding: true })
          await new Promise((resolve) => (goOn = resolve))
        },
      }
      const { root, path, ...file } = request
      const claim = {
        ...file,
        source: { root, path },
        context: Buffer.alloc(0),
        fingerprint: Buffer.from(request.fingerprint, 'hex'),
        generation: 1,
        owner: randomUUID(),
      }
      const onProgress = () => {
        if (stop) abort.abort(Object.assign(new Error('the worker is shutting down'), { code: 'SHUTDOWN' }))
      }
      const outcome = await ingest(ports, claim, { signal: abort.signal, onProgress })
      return outcome.kind === 'failed' ? outcome.failed.code : outcome.kind
    })
    say({ outcomes: await Promise.all(outcomes) })
  },
  /** Reads an object to its end, or to the segment that is not authentic. */
  read: async (/** @type {any} */ { wrapped, ...object }) => {
    let opened
    try {
      opened = await openObject(store.reader(object), {
        keys: pool,
        unwrapper: pool,
        context: 'unchecked',
        ...(wrapped && { wrappedNonces: { ...wrapped, wrapped: Buffer.from(wrapped.wrapped, 'hex') } }),
      })
      let read = 0
      for await (const plaintext of opened.readAll()) read += plaintext.length
      say({ outcomes: [read] })
    } catch (error) {
      say({ outcomes: [error instanceof FormatError ? error.code : String(error)] })
    } finally {
      opened?.wipe()
    }
  },
}

say({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ ask: keyof typeof asked }} */
  const { ask, ...given } = JSON.parse(line)
  void asked[ask](given)
}
process.exit(0)
