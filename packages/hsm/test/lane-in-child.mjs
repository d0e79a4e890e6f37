// node lane-in-child.mjs MODULE TOKEN PIN LABEL: eight sessions, one lane. Prints {"warm":…} once the lane derives, whether its
// answers are those of calls made without it; waits for a line on stdin, makes eight calls at once, prints how many came
// back right within time, and whether the loop went on. Never ends by itself: a call may hang.
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

import { Lane } from '../dist/agent/lane.js'
import { Pkcs11Module } from '../dist/agent/module.js'

const [library = '', token = '', pin = '', label = ''] = process.argv.slice(2)
const module = Pkcs11Module.load(library)
module.selectToken(token)
module.login(module.openSession(false), pin)
const sessions = Array.from({ length: 8 }, () => module.openSession(false))
const [first = Buffer.alloc(0)] = sessions
const [key = Buffer.alloc(0)] = module.findKeys(first, { label })

/** @param {Buffer} session @param {Buffer} message */
const without = async (session, message) => {
  const out = Buffer.alloc(128)
  await module.hmac(session, key, message, out)
  return out.toString('hex', 0, 32)
}
const calls = sessions.map((session, index) => ({ session, message: randomBytes(index % 2 === 0 ? 32 : 106) }))
/** @type {string[]} */
const expected = []
for (const { message } of calls) expected.push(await without(first, message))

// A clock that stands still, so that any load is a busy one, but for the ends of pauses (this machine may be slow).
let now = 0
const lane = new Lane(library, () => now)
let taken = 0
let refusals = 0
const all = async () => {
  const answers = calls.map(async ({ session, message }) => {
    const out = Buffer.alloc(128)
    const length = await lane.sign(session, key, message, out)
    if (length === undefined) return undefined
    taken += 1
    return out.toString('hex', 0, length)
  })
  return Promise.all(answers)
}
let same = true
for (let whole = false; taken < 800 || !whole;) {
  const answers = await all()
  whole = !answers.includes(undefined)
  if (!whole && (refusals += 1) % 64 === 0) now += 64_000
  same &&= answers.every((answer, index) => answer === undefined || answer === expected[index])
  await delay(1)
}
const tooLong = lane.sign(first, key, Buffer.alloc(200), Buffer.alloc(128)) === undefined
console.log(JSON.stringify({ warm: true, same, tooLong }))

for await (const _line of createInterface(process.stdin)) {
  const settled = { right: 0, wrong: 0, back: 0, failed: /** @type {string[]} */ ([]) }
  let beats = 0
  const beat = setInterval(() => (beats += 1), 5)
  calls.forEach(({ session, message }, index) => {
    const out = Buffer.alloc(128)
    const answer = lane.sign(session, key, message, out)
    if (answer === undefined) settled.back += 1
    answer?.then(
      (length) => {
        if (length === undefined) settled.back += 1
        else if (out.toString('hex', 0, length) === expected[index]) settled.right += 1
        else settled.wrong += 1
      },
      (/** @type {import('../dist/agent/cryptoki.js').CkrError} */ error) =>
        settled.failed.push(`${error.fn}:${error.ckr}`),
    )
  })
  const over = () => settled.right + settled.wrong + settled.back + settled.failed.length
  while (over() < 7 || beats === 0) await delay(5)
  // The eighth may hang.
  for (let i = 0; i < 100 && over() < 8; i += 1) await delay(5)
  clearInterval(beat)
  const refused = lane.sign(first, key, Buffer.alloc(32), Buffer.alloc(128)) === undefined
  console.log(JSON.stringify({ ...settled, loop: beats > 0, refused }))
}
