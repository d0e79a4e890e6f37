/** Sealing 256 MiB in segments of 1 MiB and parts of 8 MiB; the two HSM calls of a file cost nothing here. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { bufferReader } from '../../../packages/format/dist/reader.js'
import { createSealer } from '../../../packages/format/dist/seal.js'
import { freshNonces } from '../../../packages/format/dist/nonce.js'
import { objectLength } from '../../../packages/format/dist/sizes.js'
import { openObject } from '../../../packages/format/dist/open.js'
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

/** @param {((size: number) => Buffer) | undefined} allocate */
async function seal(allocate) {
  const sealer = await newSealer()
  const elapsed = coreClock()
  let sealed = 0
  const options = { chunkSize: PART, plaintextLength: LENGTH, allocate }
  for await (const part of sealer.seal(plaintext(), options)) sealed += part.length
  const seconds = elapsed()
  if (sealed !== MEMORY.length) throw new Error(`sealed ${sealed} bytes, not ${MEMORY.length}`)
  return LENGTH / 2 ** 30 / seconds
}

function sealIntoMemory() {
  let at = 0
  return seal((size) => {
    at += size
    return MEMORY.subarray(at - size, at)
  })
}

/** MEMORY must open to the original plaintext: a benchmark of wrong results measures nothing. */
async function check() {
  await sealIntoMemory()
  const right = createHash('sha256')
  for (const chunk of plaintext()) right.update(chunk)
  const opened = createHash('sha256')
  const object = await openObject(bufferReader(MEMORY), { keys, context: CONTEXT })
  try {
    for await (const chunk of object.readAll()) opened.update(chunk)
  } finally {
    object.wipe()
  }
  if (!opened.digest().equals(right.digest())) throw new Error('the sealed object opens to other bytes')
  return 0
}

answer({ check, memory: sealIntoMemory, fresh: () => seal(undefined) })
