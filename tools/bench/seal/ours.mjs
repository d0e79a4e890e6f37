/** Sealing and opening 256 MiB in segments of 1 MiB and parts of 8 MiB; HSM calls cost nothing here. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { bufferReader } from '../../../packages/format/dist/reader.js'
import { createSealer } from '../../../packages/format/dist/seal.js'
import { freshNonces } from '../../../packages/format/dist/nonce.js'
import { objectLength } from '../../../packages/format/dist/sizes.js'
import { KERNEL_CHOICES, kernel, selectKernel } from '../../../packages/kernel/dist/index.js'
import { openObject } from '../../../packages/format/dist/open.js'
import { verifyObject } from '../../../packages/format/dist/verify.js'
import { answer, coreClock } from './answer.mjs'

const MIB = 2 ** 20
const LENGTH = 256 * MIB
const PART = 8 * MIB
const SEGMENT_LOG2 = 20
const CONTEXT = Buffer.alloc(0)
/** Longer than the last-level cache, so that plaintext comes from memory as it does from a file. */
const PLAINTEXT = randomBytes(64 * MIB)
/** Memory for a whole object; touched once, so that page faults are not measured. */
const MEMORY = Buffer.alloc(objectLength(LENGTH, SEGMENT_LOG2), 1)

const keys = {
  /** @param {{ role: string }} key @param {Uint8Array} message */
  hmac: ({ role }, message) => {
    const output = Buffer.alloc(32)
    output.set(createHmac('sha256', `benchmark ${role}`).update(message).digest())
    return Promise.resolve(output)
  },
}

function newSealer() {
  const attempt = {
    suite: /** @type {const} */ (1),
    fileId: '0190b3c0-0000-7000-8000-000000000001',
    attemptId: '0190b3c0-0000-7000-8000-000000000002',
    attemptNo: 1,
    encKeyVersion: 1,
    sigKeyVersion: 1,
    kekVersion: 0,
    segLog2: SEGMENT_LOG2,
    context: CONTEXT,
    createdMs: 0,
    keyDomain: 'default',
  }
  return createSealer({ ...attempt, ...freshNonces() }, keys)
}

function* plaintext() {
  for (let at = 0; at < LENGTH; at += MIB) {
    const start = at % PLAINTEXT.length
    yield PLAINTEXT.subarray(start, start + MIB)
  }
}

/** What lies in MEMORY is the plaintext: nothing is copied, as when a file is read there. */
function placed() {
  let left = LENGTH
  return {
    /** @param {Uint8Array} target */
    read: (target) => {
      const taken = Math.min(left, target.length)
      left -= taken
      return Promise.resolve(taken)
    },
  }
}

/** @returns {number} bytes per second in GiB */
const speedOver = (/** @type {number} */ seconds) => LENGTH / 2 ** 30 / seconds

/**
 * Into MEMORY.
 *
 * @param {Iterable<Uint8Array> | ReturnType<typeof placed>} source
 * @param {() => () => number} clock
 */
async function seal(source, clock) {
  const sealer = await newSealer()
  const elapsed = clock()
  let at = 0
  const allocate = (/** @type {number} */ size) => {
    at += size
    return MEMORY.subarray(at - size, at)
  }
  let sealed = 0
  const options = { chunkSize: PART, plaintextLength: LENGTH, allocate }
  for await (const part of sealer.seal(source, options)) sealed += part.length
  const seconds = elapsed()
  if (sealed !== MEMORY.length) throw new Error(`sealed ${sealed} bytes, not ${MEMORY.length}`)
  return speedOver(seconds)
}

function wallClock() {
  const began = performance.now()
  return () => (performance.now() - began) / 1000
}

/** @param {(() => () => number)} clock @param {(chunk: Uint8Array) => void} [use] */
async function open(clock, use = () => {}) {
  const ring = Array.from({ length: 16 }, () => Buffer.alloc(MIB + 32))
  let turn = 0
  const allocate = (/** @type {number} */ size) => /** @type {Buffer} */ (ring[turn++ % ring.length]).subarray(0, size)
  const object = await openObject(bufferReader(MEMORY), { keys, context: CONTEXT })
  try {
    const elapsed = clock()
    for await (const chunk of object.readAll({ allocate })) use(chunk)
    return speedOver(elapsed())
  } finally {
    object.wipe()
  }
}

async function verify() {
  const elapsed = coreClock()
  await verifyObject(bufferReader(MEMORY), { keys, context: CONTEXT })
  return speedOver(elapsed())
}

/** MEMORY must open to the original plaintext: a benchmark of wrong results measures nothing. */
async function check() {
  await seal(plaintext(), coreClock)
  const right = createHash('sha256')
  for (const chunk of plaintext()) right.update(chunk)
  const opened = createHash('sha256')
  await open(coreClock, (chunk) => void opened.update(chunk))
  if (!opened.digest().equals(right.digest())) throw new Error('the sealed object opens to other bytes')
  return 1
}

/** @type {Record<string, () => Promise<number>>} */
const works = {
  check,
  placed: () => seal(placed(), coreClock),
  copied: () => seal(plaintext(), coreClock),
  elapsed: () => seal(placed(), wallClock),
  open: () => open(coreClock),
  verify,
  'open-elapsed': () => open(wallClock),
}

/** @typedef {import('@sealfleet/kernel').KernelChoice} KernelChoice */

/** @param {() => Promise<number>} work @param {KernelChoice} path @returns 0 where this machine does not have the path */
async function onPath(work, path) {
  selectKernel(path, { onWarning: () => {} })
  const has = path === 'auto' || (kernel()?.path ?? 'typescript') === path
  return has ? work() : 0
}

// `WORK PATH`. MEMORY holds an object after `check`.
answer(
  Object.fromEntries(
    Object.entries(works).flatMap(([name, work]) =>
      KERNEL_CHOICES.map((path) => [`${name} ${path}`, () => onPath(work, path)]),
    ),
  ),
)
