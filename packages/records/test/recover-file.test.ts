import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { getFile } from '../src/files/get-file.js'
import { recoverFile, type FileRecovery, type RecoveredAttempt } from '../src/recovery/recover-file.js'
import { recoverMasterKey } from '../src/recovery/recover-key.js'
import { traceFile } from '../src/files/trace-file.js'
import { acceptFile, nonceIdOf, openFixture, request, type Fixture } from './support.js'

let fixture: Fixture
beforeAll(async () => {
  fixture = await openFixture()
})
afterAll(() => fixture[Symbol.asyncDispose]())

function attempt(fileId: string, attemptNo: number): RecoveredAttempt {
  const attemptId = randomUUID()
  const [nonceEnc, nonceSig] = [randomBytes(32), randomBytes(32)]
  return {
    ...{ attemptId, attemptNo, suite: 1, segLog2: 20, encKeyId: fixture.keys.enc.id, sigKeyId: fixture.keys.sig.id },
    ...{ nonceEnc, nonceSig, nonceIdEnc: nonceIdOf(nonceEnc), nonceIdSig: nonceIdOf(nonceSig) },
    ...{ bucket: 'bucket', objectKey: `default/${fileId}/${attemptId}`, etag: '"e"' },
    ...{ objectLength: 416 + 3 + 32, plaintextLength: 3 },
  }
}

function recovery(over: Partial<FileRecovery> = {}): FileRecovery {
  const fileId = over.fileId ?? randomUUID()
  return {
    ...{ fileId, domain: 'default', source: { root: 'recovered', path: fileId }, context: Buffer.from('c') },
    ...{ fingerprint: randomBytes(32), lastAttemptNo: 5, storedAt: new Date(Date.UTC(2025, 1, 2)), owner: 'recover' },
    committed: { ...attempt(fileId, 3), htag: randomBytes(32), fmac: randomBytes(32), verified: true },
    others: [attempt(fileId, 2), { ...attempt(fileId, 4), code: 'E_SEGMENT_AUTH' }],
    ...over,
  }
}

describe('recoverFile', () => {
  it('writes a STORED file with all its attempts at once, and never reuses their numbers', async () => {
    const input = recovery()
    expect(await recoverFile(fixture.records, input)).toBe('recovered')
    const found = await getFile(fixture.records, input.fileId)
    expect(found?.file).toMatchObject({ state: 'STORED', lastAttemptNo: 5, storedAt: input.storedAt })
    expect(found?.committed).toMatchObject({ id: input.committed.attemptId, htag: input.committed.htag })
    const attempts = (await traceFile(fixture.records, input.fileId))?.attempts
    expect(attempts?.map(({ attemptNo, state, failureCode }) => [attemptNo, state, failureCode])).toEqual([
      [2, 'ABANDONED', null],
      [3, 'COMMITTED', null],
      [4, 'FAILED', 'E_SEGMENT_AUTH'],
    ])
  })

  it('leaves a file that has a record as it is, and writes nothing of the other', async () => {
    const asked = request()
    await acceptFile(fixture.records, asked)
    const input = recovery({ fileId: asked.fileId })
    expect(await recoverFile(fixture.records, input)).toBe('exists')
    expect((await getFile(fixture.records, asked.fileId))?.file.state).toBe('QUEUED')
    expect((await traceFile(fixture.records, asked.fileId))?.attempts).toEqual([])
  })

  it('refuses nonces and places that another attempt has, and changes nothing then', async () => {
    const first = recovery()
    await recoverFile(fixture.records, first)
    const { nonceEnc, nonceIdEnc, objectKey } = first.committed
    const twice = recovery()
    const stolen = { ...twice, committed: { ...twice.committed, nonceEnc, nonceIdEnc } }
    await expect(recoverFile(fixture.records, stolen)).rejects.toMatchObject({ code: 'NONCE_REUSE' })
    const misplaced = { ...twice, committed: { ...twice.committed, objectKey } }
    await expect(recoverFile(fixture.records, misplaced)).rejects.toMatchObject({ code: 'INVALID' })
    expect(await getFile(fixture.records, twice.fileId)).toBeUndefined()
  })

  it('is refused under a key that was destroyed or has no record', async () => {
    const ref = { role: 'enc', domain: 'default', suite: 1, version: 9 } as const
    const gone = { ref, checkValue: randomBytes(8), state: 'DESTROYED', destroyedAt: new Date() } as const
    const { key } = await recoverMasterKey(fixture.records, gone)
    for (const encKeyId of [key.id, randomUUID()]) {
      const input = recovery()
      expect(await recoverFile(fixture.records, { ...input, committed: { ...input.committed, encKeyId } })).toBe(
        'no-key',
      )
      expect(await getFile(fixture.records, input.fileId)).toBeUndefined()
    }
  })

  it('of two at once one writes', async () => {
    const input = recovery()
    const outcomes = await Promise.all([recoverFile(fixture.records, input), recoverFile(fixture.records, input)])
    expect(outcomes.sort()).toEqual(['exists', 'recovered'])
  })
})

describe('recoverMasterKey', () => {
  it('records a version in its state, once, and refuses another check value or a second active version', async () => {
    const ref = { role: 'sig', domain: 'default', suite: 1, version: 7 } as const
    const checkValue = randomBytes(8)
    const input = { ref, checkValue, state: 'DECRYPT_ONLY' } as const
    expect(await recoverMasterKey(fixture.records, input)).toMatchObject({
      created: true,
      key: { state: 'DECRYPT_ONLY', label: 'sealfleet/default/sig/s1/7' },
    })
    expect((await recoverMasterKey(fixture.records, input)).created).toBe(false)
    const other = recoverMasterKey(fixture.records, { ...input, checkValue: randomBytes(8) })
    await expect(other).rejects.toMatchObject({ code: 'CONFLICT' })
    const second = { ref: { ...ref, version: 8 }, checkValue, state: 'ACTIVE' } as const
    await expect(recoverMasterKey(fixture.records, second)).rejects.toMatchObject({ code: 'CONFLICT' })
  })
})
