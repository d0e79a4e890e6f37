import { type AttemptOutcome, ingest, type IngestDependencies } from '@sealfleet/attempts'
import { randomBytes, randomUUID } from 'node:crypto'

import { HsmPool } from '@sealfleet/hsm'
import { requestFingerprint } from '@sealfleet/queue'
import { acceptFiles, getFile } from '@sealfleet/records/files'
import { failureHistory } from '@sealfleet/records/attempts'
import { every, Faulty, matrix } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import type { CheckValues } from '@sealfleet/objects'
import { tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'

const FILES = 50
/** Shapes that differ for the guard, but not for what becomes of a file, meet some of the files. */
const SOME = 10
const AT_ONCE = 10
const idle = { signal: new AbortController().signal }

/**
 * Attempts as a worker makes them, on real services, under an HSM that answers nonsense. The same fifty files meet them all:
 * none is ever committed, none loses an attempt, and all are stored once the HSM is well.
 */
describe('files under an HSM that answers nonsense with CKR_OK', () => {
  let fleet: Fleet
  let faulty: Faulty<ReturnType<typeof tokenOptions>>
  let pool: HsmPool
  /** Told of check values alone, as of versions that were registered before there were known answers. */
  let withoutAnswers: HsmPool
  let ports: IngestDependencies
  const contents = new Map<string, Buffer>()

  beforeAll(async () => {
    fleet = await startFleet()
    faulty = await Faulty.over(tokenOptions(fleet.token))
    const options = { tokens: [faulty.token], sessions: AT_ONCE, restartIntervalMs: 200 } as const
    pool = await HsmPool.open(options)
    withoutAnswers = await HsmPool.open(options)
    ports = portsOver(pool, pool)
    for (let i = 0; i < FILES; i += 1) {
      const content = randomBytes(100 + i)
      const fileId = randomUUID()
      contents.set(fileId, content)
      await fleet.writeSource(fileId, content)
    }
    const files = [...contents.keys()].map(fileOf)
    await acceptFiles(fleet.records, files)
  })
  afterEach(() => faulty.rules())
  afterAll(async () => {
    await pool?.close()
    await withoutAnswers?.close()
    await faulty?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
  })

  function portsOver(hsm: HsmPool, values: CheckValues): IngestDependencies {
    return { ...fleet.ports, checkValues: values, hsm: hsm.confirmed() }
  }

  function fileOf(fileId: string) {
    const content = { domain: 'default', root: 'in', path: fileId, context: Buffer.alloc(0) }
    const { root, path, ...request } = content
    return { fileId, fingerprint: requestFingerprint(content), ...request, source: { root, path } }
  }

  async function tryFiles(by: IngestDependencies, count: number): Promise<AttemptOutcome[]> {
    const outcomes: AttemptOutcome[] = []
    const ids = [...contents.keys()].slice(0, count)
    while (ids.length > 0) {
      const some = ids.splice(0, AT_ONCE).map((fileId) => {
        return ingest(by, { ...fileOf(fileId), generation: 1, owner: randomUUID() }, idle)
      })
      outcomes.push(...(await Promise.all(some)))
    }
    return outcomes
  }

  async function expectNoneStored(outcomes: readonly AttemptOutcome[], codes: readonly string[]): Promise<void> {
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ kind: 'failed', failed: { failure: { burnsAttempt: false } } })
      if (outcome.kind === 'failed') expect(codes).toContain(outcome.failed.code)
    }
    for (const fileId of contents.keys()) {
      const found = await getFile(fleet.records, fileId)
      expect(found).toMatchObject({ committed: null, file: { state: 'QUEUED', crashes: 0 } })
    }
    const [one = ''] = contents.keys()
    const history = await failureHistory(fleet.records, { fileId: one, generation: 1, code: 'KEY_MISMATCH' })
    expect(history).toEqual({ burned: 0, sameCode: 0 })
  }

  const shapes: readonly [string, number][] = [
    ['zero', FILES],
    ['constant', FILES],
    ['flip', FILES],
    ['ascending', SOME],
    ['halves', SOME],
    ['repeat', SOME],
    ['narrow', SOME],
    ['echo', SOME],
  ]
  matrix(shapes, every(3))('%s: 0 of %i committed, no attempt burned', async ([shape, count]) => {
    await faulty.rules(`C_Sign ${shape} input=32`)
    await expectNoneStored(await tryFiles(ports, count), ['KEY_MISMATCH'])
  })

  test('the same bytes for every nonce, of keys without a known answer: 0 of 50 committed', async () => {
    await faulty.rules('C_Sign constant input=32')
    const legacy = portsOver(withoutAnswers, {
      expectCheckValue: (key, checkValue) => withoutAnswers.expectCheckValue(key, checkValue),
      expectKekRecord: (kek, record) => withoutAnswers.expectKekRecord(kek, record),
    })
    await expectNoneStored(await tryFiles(legacy, FILES), ['KEY_MISMATCH'])
  })

  test('the answers to the nonces before: 0 committed', async () => {
    await faulty.rules('C_Sign previous input=32')
    const codes = ['KEY_MISMATCH', 'HSM_UNAVAILABLE', 'HSM_SESSION_LOST', 'HSM_BUSY']
    await expectNoneStored(await tryFiles(ports, SOME), codes)
  })

  test('and with a well HSM all fifty are stored, and read back as they were', async () => {
    await expect.poll(() => pool.health().ready, { timeout: 60_000 }).toBe(true)
    for (const outcome of await tryFiles(ports, FILES)) expect(outcome).toMatchObject({ kind: 'stored' })
    for (const [fileId, content] of contents) expect(await fleet.restore(fileId)).toEqual(content)
  })
})
