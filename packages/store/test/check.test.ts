import { startFaultProxy, type Fault, type S3Operation } from '@sealfleet/testkit'
import { expect, test } from 'vitest'
import { openStore } from '../src/store.js'
import { addressOf, all, onServers, openFresh, SERVERS } from './support.js'

onServers(SERVERS, 'checking', (server) => {
  test('a store that takes objects passes, and nothing of the check stays, no version either', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    await store.check()
    const asked = proxy.seen.map(({ operation }) => operation)
    expect(asked).toEqual(['PutObject', 'DeleteObject'])
    expect(await all(store.listVersions(''))).toEqual([])
  })

  test.each<[string, S3Operation, Fault, string]>([
    ['fails', 'PutObject', { kind: 'status', status: 500, code: 'InternalError' }, 'S3_UNAVAILABLE'],
    ['breaks the connection', 'PutObject', { kind: 'reset' }, 'S3_UNAVAILABLE'],
    ['refuses', 'PutObject', { kind: 'status', status: 403, code: 'SignatureDoesNotMatch' }, 'S3_ACCESS_DENIED'],
    ['is full', 'PutObject', { kind: 'status', status: 507, code: 'InsufficientStorage' }, 'S3_UNAVAILABLE'],
    ['fails after the write', 'DeleteObject', { kind: 'status', status: 500, code: 'InternalError' }, 'S3_UNAVAILABLE'],
  ])('a store that %s does not', async (_name, operation, fault, code) => {
    await using opened = await openFresh(server)
    opened.proxy.inject(operation, fault)
    await expect(opened.store.check()).rejects.toMatchObject({ name: 'StoreError', code })
    opened.proxy.heal()
    await expect(opened.store.check()).resolves.toBeUndefined()
  })

  test('an abort ends the check with the signal’s reason', async () => {
    await using opened = await openFresh(server)
    const { store, proxy } = opened
    proxy.inject('PutObject', { kind: 'silence' })
    const stop = new AbortController()
    const ended = expect(store.check({ signal: stop.signal })).rejects.toThrow('never mind')
    await proxy.arrival('PutObject')
    stop.abort(new Error('never mind'))
    await ended
  })

  test('credentials that may no longer delete: it passes, with a warning that names what stays', async () => {
    await using opened = await openFresh(server)
    opened.proxy.inject('DeleteObject', { kind: 'status', status: 403, code: 'AccessDenied' })
    await opened.store.check()
    const warned = opened.warnings.map(({ code, message }) => `${code} ${message}`)
    expect(warned).toEqual([expect.stringMatching(/^S3_ACCESS_DENIED .*\.sealfleet-probe\/.* stays/)])
  })

  test('credentials that never could delete: however often, one object stays', async () => {
    await using opened = await openFresh(server)
    await using proxy = await startFaultProxy(opened.bucket.endpoint)
    proxy.inject('DeleteObject', { kind: 'status', status: 403, code: 'AccessDenied' })
    const own = { ...addressOf(opened.bucket), endpoint: proxy.endpoint, probePrefix: '.other/' }
    using store = await openStore({ ...own, onWarning: () => undefined })
    await store.check()
    await store.check()
    const left = (await all(opened.store.list('.other/'))).map(({ key }) => key)
    expect(left.filter((key) => key.endsWith('check'))).toEqual(['.other/check'])
    expect(left).toHaveLength(2)
  })
})
