import { type AttemptOutcome, ingest, type OwnedRequest, newObject } from '@sealfleet/attempts'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { appendFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'

import { requestFingerprint } from '@sealfleet/queue'
import { activeKeys } from '@sealfleet/records/keys'
import { claimFile, getFile, traceFile } from '@sealfleet/records/files'
import { openRecords } from '@sealfleet/records'
import { COMMIT_STATEMENT, startStatementProxy, startTcpGate } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { freePort } from '../../../tools/lib/ports.mjs'
import { startFleet, type Fleet } from './fleet.js'

describe('an attempt', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet()
    await fleet.writeSource('source', 'content')
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  function request(overrides: { path?: string } = {}): OwnedRequest {
    const content = { domain: 'default', root: 'in', path: 'source', context: Buffer.alloc(0), ...overrides }
    const { domain, root, path, context } = content
    const fingerprint = requestFingerprint(content)
    const owner = `test/${randomUUID()}`
    return { fileId: randomUUID(), generation: 1, fingerprint, owner, domain, source: { root, path }, context }
  }

  const idle = { signal: new AbortController().signal }

  test('whose commit was done but never answered recognises it as its own', async () => {
    await using proxy = await startStatementProxy(fleet.database.url)
    await using records = await openRecords(proxy.url)
    const asking = request()
    proxy.loseAnswerOf(COMMIT_STATEMENT)
    expect(await ingest({ ...fleet.ports, records }, asking, idle)).toMatchObject({ kind: 'stored' })
    expect(proxy.lost()).toBe(1)
    expect((await fleet.restore(asking.fileId)).toString()).toBe('content')
  })

  test('wipes its nonces at its end, and when they could not even be recorded', async () => {
    const keys = await activeKeys(fleet.records, 'default')
    const of = { fileId: randomUUID(), domain: 'default', keys, nonceMode: 'inline' } as const
    const seen: Uint8Array[] = []
    const filled = () => seen.map((nonce) => nonce.some((byte) => byte !== 0))
    {
      using object = await newObject(of, () => Promise.resolve())
      seen.push(object.nonces.nonceEnc, object.nonces.nonceSig)
      expect(filled()).toEqual([true, true])
    }
    const refused = newObject(of, ({ nonces }) => {
      seen.push(nonces.nonceEnc, nonces.nonceSig)
      return Promise.reject(new Error('refused'))
    })
    await expect(refused).rejects.toThrow('refused')
    expect(filled()).toEqual([false, false, false, false])
  })

  test('waits out a database that is away at the commit instead of doing all the work again', async () => {
    await using gate = await startTcpGate(fleet.database.url, await freePort())
    await using records = await openRecords(gate.url)
    let refused = 0
    const away = createServer((socket) => {
      refused += 1
      socket.destroy()
      if (refused === 2) away.close(() => void gate.open())
    })
    const step = async (name: string, when: string): Promise<void> => {
      if (name !== 'commit' || when !== 'before') return
      await gate.shut()
      away.listen(gate.port, '127.0.0.1')
      await once(away, 'listening')
    }
    expect(await ingest({ ...fleet.ports, records, step }, request(), idle)).toMatchObject({
      kind: 'stored',
      claim: { attemptNo: 1 },
    })
    expect(refused).toBe(2)
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
      claim: { attemptNo: 2 },
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
    const asking = request()
    for (let crash = 0; crash < 3; crash++) await expect.poll(() => claims(asking), { interval: 20 }).toBe('claimed')
    let outcome: AttemptOutcome = { kind: 'leased', retryInMs: 0 }
    const next = async (): Promise<string> => {
      outcome = await ingest(fleet.ports, { ...asking, owner: randomUUID() }, idle)
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

  async function claims(asking: OwnedRequest): Promise<string> {
    return (await claimFile(fleet.records, { ...asking, owner: randomUUID(), leaseSeconds: 0.01 })).outcome
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
