import { type AttemptOutcome, ingest, type IngestDependencies } from '@sealfleet/attempts'
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'

import { HsmPool, openKeyAdmin } from '@sealfleet/hsm'
import { requestFingerprint } from '@sealfleet/queue'
import { acceptFiles, getFile, listFailures } from '@sealfleet/records/files'
import { activateMasterKey, committedUnderKey, getMasterKey, registerMasterKey } from '@sealfleet/records/keys'
import { ensureDomain } from '@sealfleet/records/fleet'
import { searchAudit } from '@sealfleet/records/audit'
import { StoreError } from '@sealfleet/store'
import { createLogger } from '@sealfleet/telemetry'
import { Faulty, longTest } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { keyProver, proveActiveKeys, type ProvePorts } from '@sealfleet/keys'
import { tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'
import { enqueue } from './patient.js'

const idle = { signal: new AbortController().signal }

/** Before a worker seals under a version it derives a stored file's keys again and compares what its header says. */
describe('a key version under which files are kept', () => {
  let fleet: Fleet
  let faulty: Faulty<ReturnType<typeof tokenOptions>>
  const lines: string[] = []
  const log = createLogger({ name: 'test', level: 'debug', destination: { write: (line) => void lines.push(line) } })

  beforeAll(async () => {
    fleet = await startFleet()
    faulty = await Faulty.over(tokenOptions(fleet.token))
    await fleet.writeSource('source', 'content')
    for (const domain of [used, unused]) await makeOlderKeys(domain)
  })
  afterEach(() => faulty.rules())
  afterAll(async () => {
    await faulty?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
  })

  /** Domains whose keys were registered before there were known answers. */
  const [used, unused] = [randomUUID(), randomUUID()]
  const refOf = (role: 'enc' | 'sig', domain: string) => ({ role, domain, suite: 1, version: 1 }) as const

  async function makeOlderKeys(domain: string): Promise<void> {
    await ensureDomain(fleet.records, { id: domain, name: domain })
    await using admin = await openKeyAdmin(tokenOptions(fleet.token))
    for (const ref of [refOf('enc', domain), refOf('sig', domain)]) {
      await admin.generate(ref)
      await registerMasterKey(fleet.records, { ref, checkValue: await admin.checkValue(ref) })
      await activateMasterKey(fleet.records, { ref })
    }
  }

  /** A process of its own, as far as pools go. */
  async function onNewPool<T>(use: (ports: ProvePorts & { readonly pool: HsmPool }) => Promise<T>): Promise<T> {
    await using pool = await HsmPool.open({ tokens: [faulty.token], sessions: 2, agents: 1 })
    const { records, ports } = fleet
    return await use({ records, pool, store: ports.store, log, actor: 'test' })
  }

  /** One file, as an ingest attempt of that process stores it. */
  async function store(domain: string, ports: ProvePorts & { readonly pool: HsmPool }) {
    const hsm = ports.pool.confirmed({ prove: keyProver(ports) })
    return storeBy(domain, { ...fleet.ports, checkValues: ports.pool, hsm })
  }

  async function storeBy(domain: string, ports: IngestDependencies): Promise<AttemptOutcome & { id: string }> {
    const content = { domain, root: 'in', path: 'source', context: Buffer.alloc(0) }
    const id = randomUUID()
    const fingerprint = requestFingerprint(content)
    const file = { fileId: id, domain, source: { root: 'in', path: 'source' }, context: content.context, fingerprint }
    await acceptFiles(fleet.records, [file])
    return { ...(await ingest(ports, { ...file, generation: 1, owner: randomUUID() }, idle)), id }
  }

  const eventsOf = async (row: { readonly id: string } | undefined) => {
    const filter = { action: 'keys.known-answer', subjectId: row?.id ?? '', limit: 10 }
    return searchAudit(fleet.records, filter)
  }

  test('and that has no known answer gets one: at its first use, and then nothing changes it', async () => {
    expect(await onNewPool((ports) => store(unused, ports))).toMatchObject({ kind: 'stored' })
    await using admin = await openKeyAdmin(tokenOptions(fleet.token))
    for (const ref of [refOf('enc', unused), refOf('sig', unused)]) {
      const row = await getMasterKey(fleet.records, ref)
      expect(row?.knownAnswer).toEqual(await admin.knownAnswer(ref))
      expect(await eventsOf(row)).toMatchObject([{ actor: 'test', detail: { proof: 'never used' } }])
    }
  })

  test('one bit flipped alike in every derivation since: KEY_MISMATCH, nothing is stored and no answer registered', async () => {
    const enc = refOf('enc', used)
    // Its first file was sealed by an older version of this program.
    expect(await storeBy(used, fleet.ports)).toMatchObject({ kind: 'stored' })
    await faulty.rules('C_Sign flip input=32')
    await onNewPool(async (ports) => {
      const outcome = await store(used, ports)
      expect(outcome).toMatchObject({ kind: 'failed', failed: { code: 'KEY_MISMATCH' }, decision: { action: 'pause' } })
      expect((await getFile(fleet.records, outcome.id))?.file).toMatchObject({ state: 'QUEUED', crashes: 0 })
    })
    expect((await getMasterKey(fleet.records, enc))?.knownAnswer).toBeNull()
    await faulty.rules()
    expect(await onNewPool((ports) => store(used, ports))).toMatchObject({ kind: 'stored' })
    const row = await getMasterKey(fleet.records, enc)
    expect(row?.knownAnswer).not.toBeNull()
    expect(await eventsOf(row)).toMatchObject([{ detail: { proof: 'proven' } }])
  })

  test('objects that are damaged or gone prove nothing against it', async () => {
    const { records, ports } = fleet
    const key = await getMasterKey(records, refOf('enc', unused))
    if (key === undefined) throw new Error('no such key')
    const [{ fileId } = { fileId: '' }] = await committedUnderKey(records, { key, from: unused, limit: 1 })
    const { objectKey, objectLength: length = 0 } = (await getFile(records, fileId))?.committed ?? {}
    // Another object under its name: not the one that the record pins.
    await ports.store.delete(objectKey ?? '')
    const body = Readable.from([Buffer.alloc(length, 1)])
    await ports.store.put({ key: objectKey ?? '', body, length, metadata: {} })
    lines.length = 0
    expect(await onNewPool((ports) => store(unused, ports))).toMatchObject({ kind: 'stored' })
    expect(lines.join()).toContain('this header proves no key')
  })

  longTest('a store that does not answer: the start goes on, nothing is sealed until it does', async () => {
    await onNewPool(async (ports) => {
      let away = true
      const reader: ProvePorts['store']['reader'] = (at) => {
        if (away) throw new StoreError('S3_UNAVAILABLE', 'the store is away', { fix: 'bring it back' })
        return ports.store.reader(at)
      }
      const silent = { ...ports, store: { bucket: ports.store.bucket, reader } }
      const sealing = ports.pool.confirmed({ prove: keyProver(silent) })
      lines.length = 0
      await proveActiveKeys(silent, (key) => sealing.proven(key))
      expect(lines.join()).toContain('this key version is not used for sealing')
      const key = refOf('enc', used)
      await expect(sealing.hmac(key, Buffer.alloc(32, 9))).rejects.toMatchObject({ code: 'S3_UNAVAILABLE' })
      away = false
      const later = ports.pool.confirmed({ prove: keyProver(silent) })
      expect(await later.hmac(key, Buffer.alloc(32, 9))).toHaveLength(32)
    })
  })

  longTest(
    'a worker that starts on a token that computes otherwise takes jobs, seals none of them, and says why',
    async () => {
      expect(await storeBy('default', fleet.ports)).toMatchObject({ kind: 'stored' })
      await faulty.rules('C_Sign flip input=32')
      const moduleEnv = faulty.token.env
      await using _worker = await fleet.startWorker({
        env: { SEALFLEET_PKCS11_MODULE: faulty.token.module },
        moduleEnv,
      })
      const [fileId = ''] = await enqueue(fleet, 'late', 1)
      const failures = async () =>
        (await listFailures(fleet.records, fileId)).map((one) => `${one.code} ${one.disposition}`)
      await expect.poll(failures, { timeout: 60_000 }).toEqual(['KEY_MISMATCH release'])
      expect(await getFile(fleet.records, fileId)).toMatchObject({
        committed: null,
        file: { state: 'QUEUED', crashes: 0 },
      })
      expect(fleet.logs.filter((line) => line.includes('this key version is not used for sealing'))).toHaveLength(6)
    },
  )
})
