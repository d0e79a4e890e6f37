/**
 * What a worker and its agents keep in memory when attempts are over: nothing that was derived. The processes are searched
 * from outside, so that what is looked for never gets into them, and for pieces of 8 bytes, since a key that was freed
 * need not be whole.
 */
import { randomUUID } from 'node:crypto'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { derivationMessages, nonceAad } from '@sealfleet/format'
import { requestFingerprint } from '@sealfleet/queue'
import { getFile } from '@sealfleet/records/files'
import { type FaultProxy, longTest, startFaultProxy } from '@sealfleet/testkit'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'
import { childrenOf, piecesOf, searchProcesses } from './process-memory.js'

const PROGRAM = fileURLToPath(new URL('./memory-worker.mjs', import.meta.url))
/** Detached nonces and suite 2: more that is derived, by other ways. */
const DETACHED = '0d6ce9a3-5f3e-4a66-9a4e-0d3f9f6a6b11'
const SIZES = { empty: 0, small: 16 * 1024, large: 20 * 2 ** 20 }

type Answer = { readonly ready?: true; readonly holding?: true; readonly outcomes?: readonly (string | number)[] }

/** The program of memory-worker.mjs, asked one thing after another. */
class Scanned implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #answers: AsyncIterator<string>

  constructor(env: NodeJS.ProcessEnv) {
    this.#child = spawn(process.execPath, [PROGRAM], { env, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async answer(): Promise<Answer> {
    const { value, done } = (await this.#answers.next()) as IteratorResult<string, undefined>
    if (done === true) throw new Error('the program ended')
    return JSON.parse(value) as Answer
  }

  async ask(ask: string, given: object = {}): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify({ ask, ...given })}\n`)
    return this.answer()
  }

  /** The program's own process, and its agents'. */
  get pids(): { readonly worker: number; readonly agents: readonly number[] } {
    const worker = this.#child.pid ?? 0
    return { worker, agents: childrenOf(worker) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit')
    this.#child.stdin.end()
    await gone
  }
}

describe('memory of a worker and its agents', () => {
  let fleet: Fleet
  let proxy: FaultProxy
  let scanned: Scanned
  beforeAll(async () => {
    const detached = { id: DETACHED, suite: 2, nonceMode: 'detached', lossAcknowledged: true } as const
    fleet = await startFleet({ domains: [detached] })
    proxy = await startFaultProxy(fleet.bucket.endpoint)
    for (const [name, size] of Object.entries(SIZES)) await fleet.writeSource(name, Buffer.alloc(size, name))
    scanned = new Scanned({
      ...process.env,
      ...fleet.env,
      ...fleet.token.env,
      SEALFLEET_S3_ENDPOINT: proxy.endpoint,
      SEALFLEET_S3_MAX_ATTEMPTS: '1',
    })
    expect(await scanned.answer()).toEqual({ ready: true })
  })
  afterAll(async () => {
    await scanned?.[Symbol.asyncDispose]()
    await proxy?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
  })

  const request = (path: keyof typeof SIZES, domain = 'default') => {
    const content = { domain, root: 'in', path, context: Buffer.alloc(0) }
    return {
      fileId: randomUUID(),
      size: SIZES[path],
      ...content,
      fingerprint: requestFingerprint(content).toString('hex'),
    }
  }

  test('has the keys while a file is sealed: the search would find them', async () => {
    const requests = [request('small')]
    expect(await scanned.ask('store', { requests, hold: true })).toEqual({ holding: true })
    const hits = await found(requests)
    expect(hits.filter((hit) => hit.startsWith('K_sig'))).not.toEqual([])
    expect(hits.filter((hit) => hit.startsWith('DK'))).not.toEqual([])
    expect(await scanned.ask('go')).toEqual({ outcomes: ['stored'] })
    expect(await found(requests)).toEqual([])
  })

  test('holds nothing of a derived key after success', async () => {
    const requests = [request('empty'), request('small'), request('large'), request('small', DETACHED)]
    expect(await scanned.ask('store', { requests })).toEqual({ outcomes: requests.map(() => 'stored') })
    expect(await found(requests)).toEqual([])
  })

  longTest('holds nothing of a derived key after a store failed in the middle of an upload', async () => {
    const refused = { kind: 'status', status: 403, code: 'AccessDenied' } as const
    proxy.inject('UploadPart', refused, { when: ({ partNumber }) => partNumber === 2 })
    const requests = [request('large'), request('large', DETACHED)]
    const outcomes = requests.map(() => 'S3_ACCESS_DENIED')
    expect(await scanned.ask('store', { requests })).toEqual({ outcomes })
    proxy.heal()
    expect(await found(requests)).toEqual([])
  })

  longTest('holds nothing of a derived key after an abort in the middle of an upload', async () => {
    const requests = [request('large'), request('large', DETACHED)]
    expect(await scanned.ask('store', { requests, stop: true })).toEqual({ outcomes: ['SHUTDOWN', 'SHUTDOWN'] })
    expect(await found(requests)).toEqual([])
  })

  longTest(
    'holds nothing of a derived key after reading, to the end and to a segment that is not authentic',
    async () => {
      const requests = [request('large'), request('small', DETACHED)]
      expect(await scanned.ask('store', { requests })).toEqual({ outcomes: ['stored', 'stored'] })
      for (const { fileId, size } of requests) {
        const object = await objectOf(fileId)
        expect(await scanned.ask('read', object)).toEqual({ outcomes: [size] })
        expect(await scanned.ask('read', await damaged(object))).toEqual({ outcomes: ['E_SEGMENT_AUTH'] })
      }
      expect(await found(requests)).toEqual([])
    },
  )

  /** What the program needs for reading an object. */
  async function objectOf(fileId: string) {
    const committed = (await getFile(fleet.records, fileId))?.committed
    if (!committed) throw new Error(`file ${fileId} is not stored`)
    const { objectKey: key, objectLength: length, etag, wrappedNonces } = committed
    const wrapped = wrappedNonces && { ...wrappedNonces, wrapped: wrappedNonces.wrapped.toString('hex') }
    return { key, length, etag: etag ?? '', ...(wrapped && { wrapped }) }
  }

  /** A copy in the store with one bit of its last segment flipped. */
  async function damaged(object: Awaited<ReturnType<typeof objectOf>>): Promise<typeof object> {
    const { store } = fleet.ports
    const { key, length } = object
    const chunks: Uint8Array[] = []
    for await (const chunk of store.reader(object).read(0, length)) chunks.push(Uint8Array.from(chunk))
    const bytes = Buffer.concat(chunks)
    const [at, part] = [length - 96 - 32 - 1, store.partSizeFor(length)]
    bytes[at] = (bytes[at] ?? 0) ^ 1
    const { metadata } = await store.head(key)
    const put = await store.put({ key: `${key}-damaged`, length, metadata, body: cut(bytes, part) })
    return { ...object, key: `${key}-damaged`, etag: put.etag }
  }

  async function found(requests: readonly { readonly fileId: string }[]): Promise<string[]> {
    const pieces = (await Promise.all(requests.map(({ fileId }) => derivedOf(fileId)))).flat()
    expect(pieces.length).toBeGreaterThanOrEqual(requests.length * 8)
    const { worker, agents } = scanned.pids
    expect(agents).toHaveLength(2)
    return searchProcesses([...agents, worker], pieces).map(({ pid, name, where, address }) => {
      return `${name} in ${where} of ${pid === worker ? 'the worker' : 'an agent'} at ${address.toString(16)}`
    })
  }

  /** What is derived for the attempts of a file, by the pool of this process, which is not searched. */
  async function derivedOf(fileId: string): Promise<(readonly [string, Buffer])[]> {
    const client = new pg.Client({ connectionString: fleet.database.url })
    await client.connect()
    const { rows } = await client
      .query<{ id: string; nonce_enc: Buffer | null; nonce_sig: Buffer | null; wrapped_nonces: Buffer | null }>(
        'SELECT id, nonce_enc, nonce_sig, wrapped_nonces FROM attempts WHERE file_id = $1',
        [fileId],
      )
      .finally(() => client.end())
    expect(rows).toHaveLength(1)
    const pieces = rows.map(async (row) => {
      const suite = row.wrapped_nonces === null ? 1 : 2
      const keyDomain = suite === 1 ? 'default' : DETACHED
      const attempt = { suite, fileId, attemptId: row.id, encKeyVersion: 1, sigKeyVersion: 1, keyDomain } as const
      const { hsm } = fleet.ports
      const both = row.wrapped_nonces
        ? await hsm.unwrap({ domain: keyDomain, version: 1 }, row.wrapped_nonces, nonceAad(attempt))
        : Buffer.concat([row.nonce_enc ?? Buffer.of(), row.nonce_sig ?? Buffer.of()])
      const nonces = { nonceEnc: both.subarray(0, 32), nonceSig: both.subarray(32) }
      const derived = async (role: 'enc' | 'sig') => {
        const key = { role, domain: keyDomain, suite, version: 1 } as const
        const messages = derivationMessages({ ...attempt, ...nonces }, role)
        return Buffer.concat(await Promise.all(messages.map((message) => hsm.hmac(key, message))))
      }
      const of = `of ${row.id.slice(0, 8)}`
      return [
        ...piecesOf(`DK ${of}`, await derived('enc')),
        ...piecesOf(`K_sig ${of}`, await derived('sig')),
        // Inline nonces stand in the header, where anyone may read them.
        ...(row.wrapped_nonces ? piecesOf(`nonces ${of}`, both) : []),
      ]
    })
    return (await Promise.all(pieces)).flat()
  }
})

// eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
