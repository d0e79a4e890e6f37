import { expect, it } from 'vitest'
import { chaosRun } from './chaos-run.js'

it('two minutes of faults: nothing is lost, stored twice or left over', { timeout: 15 * 60_000 }, async () => {
  const report = await chaosRun({ minutes: 2, seed: 'ci' })
  expect(report).toMatchObject({ lost: 0, complaints: [] })
  expect(report.accepted).toBeGreaterThan(100)
  expect(report.struck).toBeGreaterThan(30)
})
