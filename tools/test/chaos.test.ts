import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { longTest } from '@sealfleet/testkit'
import { describe, expect, it } from 'vitest'
import { KeystreamCheck } from '../chaos/keystream.mjs'
import { KINDS, makeSchedule, STEPS } from '../chaos/schedule.mjs'
import { checkout } from '../lib/places.mjs'
import { chaosRun } from './chaos-run.js'

describe('the schedule of a chaos run', () => {
  const of = (seed: string, minutes = 20) => makeSchedule({ seed, minutes, workers: 3, everyMs: 1_500 })

  it('follows from the seed', () => {
    expect(of('1')).toEqual(of('1'))
    expect(of('1')).not.toEqual(of('2'))
  })

  it('has every kind early, and in a long run a kill before and after each of the nine steps', () => {
    const kinds = Object.keys(KINDS)
    for (const seed of ['1', '2', '3']) {
      expect(new Set(of(seed, 2).map(({ kind }) => kind))).toEqual(new Set(kinds))
      const points = of(seed).flatMap(({ kind, detail }) => (kind === 'kill at a step' ? [detail] : []))
      for (const step of STEPS) expect(points.some((point) => point.endsWith(`:${step}`))).toBe(true)
      expect(new Set(points).size).toBeGreaterThanOrEqual(15)
    }
  })
})

describe('the search for keystream that was used twice', () => {
  it('finds one reused stream of two objects, at the same offset and at another', () => {
    const stream = randomBytes(1 << 20)
    const object = (ciphertext: Buffer) => Buffer.concat([randomBytes(320), ciphertext, randomBytes(96)])
    const check = new KeystreamCheck()
    check.add('a', 0, object(stream), true)
    check.add('b', 0, object(randomBytes(1 << 20)), true)
    expect(check.findings).toEqual([])
    expect(check.compared).toBeGreaterThan(256)
    check.add('c', 0, object(Buffer.concat([randomBytes(4_096), stream.subarray(0, 500_000)])), true)
    expect(check.findings.length).toBeGreaterThan(0)
    expect(check.findings[0]).toMatch(/^a at \d+ = c at \d+$/)
  })

  it('takes a part that was sent again, and equal headers, for what they are', () => {
    const check = new KeystreamCheck()
    const body = Buffer.concat([Buffer.alloc(320), randomBytes(1 << 20), randomBytes(96)])
    check.add('a', 0, body, true)
    check.add('a', 0, body, true)
    check.add('b', 0, Buffer.concat([Buffer.alloc(320), randomBytes(1 << 20), randomBytes(96)]), true)
    expect(check.findings).toEqual([])
  })
})

describe('npm run chaos', () => {
  it('tells what it wants', async () => {
    const child = spawn(process.execPath, [join(checkout, 'tools', 'chaos.mjs'), '--minutes', 'many'])
    const [status] = (await once(child, 'close')) as [number]
    expect(status).toBe(1)
  })

  longTest(
    'half a minute of faults, each kind once: nothing is lost, stored twice or left over',
    { timeout: 600_000 },
    async () => {
      const report = await chaosRun({ minutes: 0.4, seed: 'ci' })
      expect(report).toMatchObject({ lost: 0, complaints: [] })
      expect(report.accepted).toBeGreaterThan(5)
      expect(report.struck).toBeGreaterThan(10)
    },
  )
})
