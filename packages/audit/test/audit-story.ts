import { appendAudit } from '@sealfleet/records/audit'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'

import { openAuditHouse, openAuditToken, type AuditHouse, type AuditToken } from './audit-house.js'

/** Gives each test of a file a house of its own, on one token, and returns what the tests tell of it. */
export function eachInItsHouse(take: (house: AuditHouse) => void) {
  let token: AuditToken
  let house: AuditHouse
  beforeAll(async () => {
    token = await openAuditToken()
  })
  afterAll(() => token?.[Symbol.asyncDispose]())
  beforeEach(async () => {
    house = await openAuditHouse(token)
    take(house)
  })
  afterEach(() => house?.[Symbol.asyncDispose]())

  const note = (action = 'test.note') =>
    appendAudit(house.records, { actor: 'a', action, subjectKind: 'test', subjectId: 'x', detail: { b: 1, a: 'ü' } })
  return {
    /** One more row in the log. */
    note,
    /** Three files over two checkpoints. */
    history: async () => {
      const files = [await house.store1(), await house.store1()]
      await house.checkpoint()
      files.push(await house.store1())
      await note()
      await house.checkpoint()
      return files
    },
    /** What is found, and in what. */
    kinds: async (o?: Parameters<AuditHouse['verify']>[0]) =>
      (await house.verify(o)).findings.map(({ kind, subject }) => `${kind} ${subject}`),
  }
}
