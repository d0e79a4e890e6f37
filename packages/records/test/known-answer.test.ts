import type { MasterKeyRef } from '@sealfleet/format'
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addKnownAnswer, getMasterKey, registerMasterKey } from '../src/keys/master-keys.js'
import { committedUnderKey } from '../src/keys/committed-under-key.js'
import { openFixture, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

const ref = (role: MasterKeyRef['role'], version: number): MasterKeyRef => ({
  role,
  domain: 'default',
  suite: 1,
  version,
})

test('a known answer is registered with its key, or added once to one that has none; nothing changes it', async () => {
  const knownAnswer = randomBytes(32)
  const registered = await registerMasterKey(f.records, {
    ref: ref('enc', 41),
    checkValue: randomBytes(8),
    knownAnswer,
  })
  expect(registered.key.knownAnswer).toEqual(knownAnswer)
  const { key } = await registerMasterKey(f.records, { ref: ref('enc', 42), checkValue: randomBytes(8) })
  expect(key.knownAnswer).toBeNull()
  const [first, second] = [randomBytes(32), randomBytes(32)]
  expect(await addKnownAnswer(f.records, { key, knownAnswer: first })).toEqual({ added: true, knownAnswer: first })
  expect(await addKnownAnswer(f.records, { key, knownAnswer: second })).toEqual({ added: false, knownAnswer: first })
  const change = f.sql.query('UPDATE master_keys SET known_answer = $1 WHERE id = $2', [second, key.id])
  await expect(change).rejects.toMatchObject({ constraint: 'master_keys_known_answer_fixed' })
  expect((await getMasterKey(f.records, key))?.knownAnswer).toEqual(first)
})

test('two keys never have one check value or one known answer: what answers alike is not registered', async () => {
  const [checkValue, knownAnswer] = [randomBytes(8), randomBytes(32)]
  const first = { ref: ref('enc', 51), checkValue, knownAnswer }
  await registerMasterKey(f.records, first)
  expect((await registerMasterKey(f.records, first)).created).toBe(false)
  const others = [
    { ref: ref('enc', 52), checkValue },
    { ref: ref('sig', 51), checkValue, knownAnswer: randomBytes(32) },
    { ref: ref('sig', 51), checkValue: randomBytes(8), knownAnswer },
  ]
  for (const other of others) {
    await expect(registerMasterKey(f.records, other)).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(await getMasterKey(f.records, other.ref)).toBeUndefined()
  }
})

test.each([31, 33, 0])('a known answer of %i bytes is refused', async (length) => {
  const input = { ref: ref('sig', 61), checkValue: randomBytes(8), knownAnswer: randomBytes(length) }
  await expect(registerMasterKey(f.records, input)).rejects.toMatchObject({ code: 'INVALID' })
})

test('a KEK has no known answer', async () => {
  const input = { ref: ref('kek', 61), checkRecord: randomBytes(92), knownAnswer: randomBytes(32) }
  await expect(registerMasterKey(f.records, input)).rejects.toMatchObject({ code: 'INVALID' })
})

test('nothing is kept under a key that was never used', async () => {
  const { key } = await registerMasterKey(f.records, { ref: ref('enc', 71), checkValue: randomBytes(8) })
  expect(await committedUnderKey(f.records, { key, from: randomUUID(), limit: 3 })).toEqual([])
})
