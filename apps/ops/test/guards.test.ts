import { describe, expect, it } from 'vitest'
import { isTrustedHost } from '../src/guards.js'
import { readiness } from '@sealfleet/runtime'
import { shownJobData, shownProgress, shownReport, shownRequestData } from '../src/shown-data.js'

describe('the Host header', () => {
  it.each([
    '127.0.0.1',
    '127.0.0.1:3900',
    'localhost:1',
    'LOCALHOST',
    '[::1]:3900',
    '10.1.2.3:80',
    'ops',
    'ops:3900',
    'ops.example.net',
    'OPS.example.net:443',
  ])('is trusted: %s', (host) => {
    expect(isTrustedHost(host, 'ops.example.net')).toBe(true)
  })

  it.each([
    undefined,
    '',
    'evil.example',
    'evil.example:3900',
    '127.0.0.1.evil.example',
    'ops.example.net.evil.example',
    'a b',
    'localhost:x',
    '[evil.example]',
    'ops@evil.example',
    'x.localhost',
  ])('is refused: %s', (host) => {
    expect(isTrustedHost(host, 'ops.example.net')).toBe(false)
  })
})

describe("what the dashboard shows of a job's data", () => {
  const job = {
    v: 1,
    fileId: 'b549fcf8-ceda-48e7-956d-e8cd3f2dda24',
    domain: 'default',
    source: { root: 'data', path: 'a.txt' },
    generation: 1,
  }
  it('is the fields of the contract, without the context', () => {
    expect(shownJobData({ ...job, context: 'c2VjcmV0' })).toEqual(job)
  })
  it.each([null, 'text', { ...job, v: 2 }, { ...job, password: 'hunter2' }, { fileId: 1 }])(
    'is nothing of %j',
    (data) => {
      expect(JSON.stringify(shownJobData(data))).not.toMatch(/hunter2|text|fileId/)
    },
  )
  it('is the request id alone in other queues', () => {
    expect(shownRequestData({ requestId: job.fileId, more: 'x' })).toEqual({ requestId: job.fileId })
    expect(JSON.stringify(shownRequestData({ requestId: 'hunter2' }))).not.toContain('hunter2')
  })
  it('is plain words and numbers of a report, and a progress in percent', () => {
    expect(shownReport({ outcome: 'stored', bytes: 5, text: 'two words', deep: { a: 1 } })).toEqual({
      outcome: 'stored',
      bytes: 5,
    })
    expect([
      shownProgress({ bytes: 1, total: 3 }),
      shownProgress({ bytes: 0, total: 0 }),
      shownProgress('x'),
      shownProgress(7),
    ]).toEqual([33, 100, 0, 7])
  })
})

describe('readiness', () => {
  it('needs an answer of every probe, and does not wait forever', async () => {
    const fine = { name: 'a', check: () => Promise.resolve('PONG') }
    const broken = { name: 'b', check: () => Promise.reject(new Error('down')) }
    const hung = { name: 'c', check: () => new Promise(() => undefined) }
    expect(await readiness([fine])).toEqual({ ready: true, checks: { a: 'ok' }, reasons: {} })
    expect(await readiness([fine, broken, hung], 20)).toEqual({
      ready: false,
      checks: { a: 'ok', b: 'unreachable', c: 'unreachable' },
      reasons: { b: expect.any(String) as string, c: 'no answer in 0.02 s' },
    })
  })
})
