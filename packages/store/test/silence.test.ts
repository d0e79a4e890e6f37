import { afterEach, describe, expect, test } from 'vitest'
import type { Unresponsive } from '../src/types.js'
import { collect, inParts, metadataOf, openFresh, pattern, SERVERS, type Opened } from './support.js'

const [SERVER] = SERVERS
const LENGTH = 100_000
/** As patient as a worker, were it not for someone who waits. */
const WAITING = { requestTimeoutMs: 60_000, inactivityTimeoutMs: 60_000, maxAttempts: 4 }

let opened: Opened | undefined
let heard: (Unresponsive | null)[] = []
afterEach(async () => {
  await opened?.[Symbol.asyncDispose]()
  opened = undefined
})

async function open(o: { giveUpAfterMs: number; silenceAfterMs: number }) {
  if (SERVER === undefined) throw new TypeError('there is a server')
  heard = []
  opened = await openFresh(SERVER, { ...WAITING, ...o, onSilence: (silence) => heard.push(silence) })
  const bytes = pattern(LENGTH)
  const { etag } = await opened.store.put({ key: 'k', body: inParts(bytes), length: LENGTH, metadata: metadataOf() })
  heard.length = 0
  opened.proxy.reset()
  const reader = opened.store.reader({ key: 'k', length: LENGTH, etag })
  return { ...opened, bytes, read: () => collect(reader.read(0, LENGTH)) }
}

describe('a store that says nothing', () => {
  test('is given up by someone who waits after the second try, who is told since when and for how long', async () => {
    const { proxy, store } = await open({ giveUpAfterMs: 8_000, silenceAfterMs: 300 })
    proxy.inject('any', { kind: 'silence' })
    await expect(store.head('k')).rejects.toMatchObject({ code: 'S3_TIMEOUT' })
    // A machine that stands still may have no time for the second one.
    expect(proxy.seen.length).toBeGreaterThanOrEqual(1)
    expect(proxy.seen.length).toBeLessThanOrEqual(2)
    expect(heard.length).toBeGreaterThanOrEqual(1)
    expect(heard[0]?.what).toContain('k')
    expect(heard[0]?.silentMs).toBeGreaterThanOrEqual(300)
    expect(heard[0]?.givesUpInMs).toBeLessThanOrEqual(7_700)
    expect(heard).not.toContain(null)
  })

  test('and then answers is not given up, and that is told too', async () => {
    const { proxy, store } = await open({ giveUpAfterMs: 20_000, silenceAfterMs: 300 })
    proxy.inject('HeadObject', { kind: 'silence' }, { times: 1 })
    expect(await store.head('k')).toMatchObject({ length: LENGTH })
    expect(heard[0]).toMatchObject({ what: expect.stringContaining('k') as string })
    expect(heard.at(-1)).toBeNull()
    expect(heard.filter((one) => one === null)).toHaveLength(1)
  })

  test('in the middle of a body is given up likewise, and not once for every try', async () => {
    const { proxy, read } = await open({ giveUpAfterMs: 6_000, silenceAfterMs: 200 })
    proxy.inject('GetObject', { kind: 'stall-body', after: 1_000 }, { times: 1 })
    proxy.inject('GetObject', { kind: 'stall-body', after: 0 })
    await expect(read()).rejects.toMatchObject({ code: 'S3_TIMEOUT' })
    expect(proxy.seen.length).toBeLessThanOrEqual(3)
    expect(heard[0]).toMatchObject({ what: 'read of k' })
  })

  test('in the middle of a body, and then goes on, is read to the end', async () => {
    const { proxy, read, bytes } = await open({ giveUpAfterMs: 20_000, silenceAfterMs: 200 })
    proxy.inject('GetObject', { kind: 'stall-body', after: 1_000 }, { times: 1 })
    expect((await read()).equals(bytes)).toBe(true)
    expect(heard.at(-1)).toBeNull()
  })

  test('a refusal is an answer: no one is told of silence', async () => {
    const { proxy, store } = await open({ giveUpAfterMs: 60_000, silenceAfterMs: 20_000 })
    proxy.inject('HeadObject', { kind: 'status', status: 403, code: 'AccessDenied' })
    await expect(store.head('k')).rejects.toMatchObject({ code: 'S3_ACCESS_DENIED' })
    expect(heard).toEqual([])
  })
})
