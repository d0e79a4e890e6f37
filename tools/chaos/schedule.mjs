/** The schedule of faults: determined by the seed and the duration alone. */
import { createRandom } from './random.mjs'

/**
 * @typedef {object} Fault
 * @property {number} atMs since the beginning of the run
 * @property {string} kind
 * @property {number} worker which of the workers it strikes, where it strikes one
 * @property {number} forMs how long it lasts, where it lasts
 * @property {string} detail the step of a kill, the operation of an S3 fault, …
 * @property {number} dice for whatever else the fault has to decide, uniform in [0, 1)
 */

/** The nine steps of an attempt (docs/design/attempt.md); a worker can be killed before and after each. */
export const STEPS = [
  'claim',
  'open-source',
  'nonces',
  'derive',
  'upload',
  'check-source',
  'complete',
  'commit',
  'wipe',
]
const POINTS = STEPS.flatMap((step) => [...(step === 'wipe' ? [] : [`before:${step}`]), `after:${step}`])

const WRITES = ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload']
const REQUESTS = [...WRITES, 'AbortMultipartUpload', 'HeadObject', 'any']

/**
 * Every kind of fault: its relative frequency, its duration, and its possible targets.
 *
 * @type {Record<string, { weight: number, forMs?: [number, number], details?: readonly string[] }>}
 */
export const KINDS = {
  'kill at a step': { weight: 10, details: POINTS },
  'kill at any time': { weight: 4 },
  'stop past the lease': { weight: 3, forMs: [5_000, 9_000] },
  'maintenance killed': { weight: 1 },
  'redis connections killed': { weight: 2 },
  'redis restarted': { weight: 1 },
  'redis wiped': { weight: 1 },
  'postgres restarted': { weight: 1 },
  'postgres connections killed': { weight: 2 },
  'commit whose answer is lost': { weight: 3 },
  's3 answers 500': { weight: 2, details: REQUESTS },
  's3 answers 503': { weight: 2, details: REQUESTS },
  's3 is slow': { weight: 2, forMs: [1_500, 4_000], details: ['any'] },
  's3 resets connections': { weight: 2, details: REQUESTS },
  's3 acts and the answer is lost': { weight: 3, details: [...WRITES, 'AbortMultipartUpload', 'DeleteObject'] },
  's3 is out of reach': { weight: 1, forMs: [1_000, 3_000], details: ['any'] },
  'hsm token gone and back': { weight: 1, forMs: [1_000, 4_000] },
  'source changed': { weight: 3 },
  'source grown': { weight: 1 },
  'source shrunk': { weight: 1 },
  'source gone': { weight: 2 },
  'hostile job': { weight: 1, details: ['not json of ours', 'a path that climbs', 'an id of another request'] },
}

/** @param {{ seed: string, minutes: number, workers: number, everyMs: number }} options @returns {Fault[]} */
export function makeSchedule({ seed, minutes, workers, everyMs }) {
  const random = createRandom(`schedule ${seed}`)
  const total = Object.values(KINDS).reduce((sum, { weight }) => sum + weight, 0)
  /** @type {Fault[]} */
  const schedule = []
  // Each kind once, early and in an order given by the seed, so that a short run has seen them all.
  const first = Object.keys(KINDS)
  for (let atMs = 2_000; atMs < minutes * 60_000; atMs += random.between(everyMs / 2, (everyMs * 3) / 2)) {
    const kind =
      first.length > 0
        ? /** @type {string} */ (first.splice(random.between(0, first.length - 1), 1)[0])
        : weighed(random, total)
    const { forMs = [0, 0], details = [''] } = /** @type {(typeof KINDS)[string]} */ (KINDS[kind])
    schedule.push({
      atMs: Math.round(atMs),
      kind,
      worker: random.between(0, workers - 1),
      forMs: random.between(...forMs),
      detail: random.pick(details),
      dice: random.next(),
    })
  }
  return schedule
}

/** @param {import('./random.mjs').Random} random @param {number} total */
function weighed(random, total) {
  let left = random.next() * total
  for (const [kind, { weight }] of Object.entries(KINDS)) {
    left -= weight
    if (left < 0) return kind
  }
  return 'kill at any time'
}
