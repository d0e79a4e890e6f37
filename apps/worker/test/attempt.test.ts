import { randomUUID } from 'node:crypto'
import { appendFile } from 'node:fs/promises'
import path from 'node:path'

import { requestFingerprint } from '@sealfleet/queue'
import { getFile, traceFile } from '@sealfleet/records/files'
import { RecordsError } from '@sealfleet/records'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { ingest, type IngestOutcome } from '../src/attempt/ingest.js'
import type { ClaimRequest, IngestPorts, IngestRecords } from '../src/attempt/ports.js'
import { startFleet, type Fleet } from './fleet.js'

describe('an attempt', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet()
    await fleet.writeSource('source', 'content')
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  function request(overrides: Partial<ClaimRequest> = {}): ClaimRequest {
    const content = { domain: 'default', root: 'in', path: 'source', context: Buffer.alloc(0), ...overrides }
    const fingerprint = requestFingerprint(content)
    const owner = `test/${randomUUID()}`
    return { fileId: randomUUID(), generation: 1, fingerprint, owner, leaseSeconds: 60, ...content }
  }

  function withRecords(change: Partial<IngestRecords>): IngestPorts {
    return { ...fleet.ports, records: { ...fleet.ports.records, ...change } }
  }
  const idle = { signal: new AbortController().signal }
  const lost = (): RecordsError => new RecordsError('DB_UNAVAILABLE', 'the connection was lost')

  test('whose commit was done but never answered recognises it as its own', async () => {
    let asked = 0
    const asking = request()
    const ports = withRecords({
      commit: async (input) => {
        asked += 1
        const outcome = await fleet.ports.records.commit(input)
        if (asked === 1) throw lost()
        return outcome
      },
    })
    expect(await ingest(ports, asking, idle)).toMatchObject({ kind: 'stored' })
    expect(asked).toBe(2)
    expect((await fleet.restore(asking.fileId)).toString()).toBe('content')
  })

  test('wipes its nonces at its end, and when they could not even be recorded', async () => {
    const seen: Uint8Array[] = []
    const ending = async (end: 'recorded' | 'unrecorded') => {
      const ports = withRecords({
        openAttempt: async (input) => {
          seen.push(input.nonceEnc, input.nonceSig)
          if (end === 'unrecorded') throw new RecordsError('INVALID', 'refused')
          await fleet.ports.records.openAttempt(input)
          expect(input.nonceEnc.every((byte) => byte === 0)).toBe(false)
        },
      })
      return ingest(ports, request(), idle)
    }
    expect(await ending('recorded')).toMatchObject({ kind: 'stored' })
    expect(await ending('unrecorded')).toMatchObject({ kind: 'failed' })
    expect(seen.map((nonce) => nonce.every((byte) => byte === 0))).toEqual([true, true, true, true])
  })

  test('waits out a database that is away at the commit instead of doing all the work again', async () => {
    let asked = 0
    const asking = request()
    const ports = withRecords({
      commit: (input) => {
        asked += 1
        return asked < 3 ? Promise.reject(lost()) : fleet.ports.records.commit(input)
      },
    })
    expect(await ingest(ports, asking, idle)).toMatchObject({ kind: 'stored', attemptNo: 1 })
  })

  test('that is cancelled gives the file back and burns nothing', async () => {
    const asking = request()
    const stop = new AbortController()
    const reason = Object.assign(new Error('the worker is shutting down'), { code: 'SHUTDOWN' })
    const ports = { ...fleet.ports, step: (step: string) => (step === 'upload' ? stop.abort(reason) : undefined) }
    const outcome = await ingest(ports, asking, { signal: stop.signal })
    expect(outcome).toMatchObject({ kind: 'failed', failed: { code: 'SHUTDOWN' }, decision: { action: 'hold' } })
    const found = await getFile(fleet.records, asking.fileId)
    expect(found?.file).toMatchObject({ state: 'QUEUED', lease: null, crashes: 0 })
    expect(await ingest(fleet.ports, { ...asking, owner: 'another' }, idle)).toMatchObject({
      kind: 'stored',
      attemptNo: 2,
    })
  })

  test('whose source grows while it is read ends SOURCE_CHANGED three times, then dead; no object is left', async () => {
    await fleet.writeSource('growing', 'x'.repeat(10_000))
    const asking = request({ path: 'growing' })
    const grow = (step: string, when: string): Promise<void> | undefined =>
      step === 'upload' && when === 'after' ? appendFile(path.join(fleet.root, 'in', 'growing'), 'more') : undefined
    for (const action of ['retry', 'retry', 'dead']) {
      const outcome = await ingest({ ...fleet.ports, step: grow }, { ...asking, owner: randomUUID() }, idle)
      expect(outcome).toMatchObject({ kind: 'failed', failed: { code: 'SOURCE_CHANGED' }, decision: { action } })
    }
    expect((await getFile(fleet.records, asking.fileId))?.file.state).toBe('DEAD')
    const keys: string[] = []
    for await (const { key } of fleet.ports.store.list(`default/${asking.fileId}/`)) keys.push(key)
    expect(keys).toEqual([])
  })

  test('whose root is not mounted leaves the file queued and unburned, however often', async () => {
    const asking = request()
    const unmounted = { ...fleet.ports, roots: new Map([['in', path.join(fleet.root, 'not-mounted')]]) }
    for (let time = 0; time < 3; time++) {
      const outcome = await ingest(unmounted, { ...asking, owner: randomUUID() }, idle)
      expect(outcome).toMatchObject({
        kind: 'failed',
        failed: { code: 'ROOT_UNAVAILABLE' },
        decision: { action: 'pause' },
      })
    }
    expect((await getFile(fleet.records, asking.fileId))?.file).toMatchObject({ state: 'QUEUED', crashes: 0 })
    expect(await ingest(fleet.ports, { ...asking, owner: randomUUID() }, idle)).toMatchObject({ kind: 'stored' })
  })

  test('at a file that killed three workers ends it as POISON', async () => {
    const asking = request({ leaseSeconds: 0.01 })
    for (let crash = 0; crash < 3; crash++) await expect.poll(() => claims(asking), { interval: 20 }).toBe('claimed')
    let outcome: IngestOutcome = { kind: 'leased', retryInMs: 0 }
    const next = async (): Promise<string> => {
      outcome = await ingest(fleet.ports, { ...asking, leaseSeconds: 60, owner: randomUUID() }, idle)
      return outcome.kind
    }
    await expect.poll(next, { interval: 20 }).not.toBe('leased')
    expect(outcome).toMatchObject({ kind: 'failed', failed: { code: 'POISON' }, decision: { action: 'dead' } })
    const trace = (await traceFile(fleet.records, asking.fileId))!
    expect(trace.file).toMatchObject({ state: 'DEAD', crashes: 3 })
    // The dead letter names each of the three.
    const owners = trace.failures.filter(({ code }) => code === 'WORKER_DIED').map(({ owner }) => owner)
    expect(owners).toHaveLength(3)
    for (const owner of owners) expect(trace.deadLetters[0]?.reason).toContain(owner)
  })

  async function claims(asking: ClaimRequest): Promise<string> {
    return (await fleet.ports.records.claim({ ...asking, owner: randomUUID() })).outcome
  }

  test('of an id that stands for another request is refused and touches nothing', async () => {
    const first = request()
    await ingest(fleet.ports, first, idle)
    const other = request({ path: 'elsewhere' })
    expect(await ingest(fleet.ports, { ...other, fileId: first.fileId }, idle)).toEqual({ kind: 'conflict' })
    expect((await fleet.restore(first.fileId)).toString()).toBe('content')
  })

  test('on a file that is stored already is skipped', async () => {
    const asking = request()
    await ingest(fleet.ports, asking, idle)
    expect(await ingest(fleet.ports, { ...asking, owner: 'late' }, idle)).toEqual({ kind: 'skipped', state: 'stored' })
  })
})
