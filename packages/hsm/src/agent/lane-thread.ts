import { createRequire } from 'node:module'
import { isMainThread, parentPort, workerData, type MessagePort } from 'node:worker_threads'

import type { PKCS11 } from 'pkcs11js'

import { ckrOf } from '../errors/ckr.js'
import { CKM } from './constants.js'
import { LaneRing, type LaneFunction, type LaneWork } from './lane-ring.js'

/** The data that lane.ts gives its thread. */
export interface LaneData {
  readonly lane: SharedArrayBuffer
  readonly library: string
}

/**
 * The loop is notified after at most this number of answers, so that it handles them while the next ones are computed.
 */
const TELL = 4

/**
 * The lane's thread. It loads the module that the agent has initialised. Most modules have one state per process, so
 * this thread calls neither C_Initialize nor C_Login; for other modules there is no lane. It only calls C_SignInit and
 * C_Sign, on sessions leased to the current request.
 */
function serve({ lane, library }: LaneData, port: MessagePort): void {
  const binding = createRequire(import.meta.url)('pkcs11js') as { PKCS11: typeof PKCS11 }
  const raw = new binding.PKCS11()
  raw.load(library)
  if (!knowsUs(raw)) {
    port.postMessage('unfit')
    return
  }
  const ring = new LaneRing(lane)
  port.postMessage('ready')
  for (let untold = 0; ;) {
    const work = ring.next()
    if (work !== undefined) {
      run(raw, ring, work)
      untold += 1
      if (untold < TELL) continue
    }
    if (untold > 0 && ring.mustTell()) port.postMessage('done')
    untold = 0
    if (work === undefined) ring.wait()
  }
}

/** p11-kit's client gives each loader its own state and connection: the thread's copy would not be initialised. */
function knowsUs(raw: InstanceType<typeof PKCS11>): boolean {
  try {
    raw.C_GetInfo()
    return true
  } catch (error) {
    if (ckrOf(error) === undefined) throw error
    return false
  }
}

function run(raw: InstanceType<typeof PKCS11>, ring: LaneRing, work: LaneWork): void {
  const { session, key, message, out } = work
  const begun = performance.now()
  const micros = () => Math.round((performance.now() - begun) * 1000)
  let fn: LaneFunction = 'C_SignInit'
  try {
    raw.C_SignInit(session, { mechanism: CKM.SHA256_HMAC }, key)
    fn = 'C_Sign'
    const { length } = raw.C_Sign(session, message, out)
    ring.done(work, { length }, micros())
  } catch (error) {
    const ckr = ckrOf(error)
    if (ckr === undefined) throw error
    ring.done(work, { ckr, fn }, micros())
  }
}

if (
  !isMainThread &&
  parentPort !== null &&
  typeof workerData === 'object' &&
  workerData !== null &&
  'lane' in workerData
) {
  serve(workerData as LaneData, parentPort)
}
