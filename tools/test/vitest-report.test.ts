import { expect, it } from 'vitest'
import { countTests, slowestFiles } from '../lib/vitest-report.mjs'

const suite = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((test) => ({ status: test })),
})
const report = (numPassedTests: number, numFailedTests: number, ...testResults: unknown[]) =>
  JSON.stringify({ numPassedTests, numFailedTests, testResults })

it.each([
  ['all well', report(2, 0, suite('passed', 'passed', 'passed')), 0, { passed: 2, failed: 0 }],
  ['a failed test', report(1, 1, suite('failed', 'passed', 'failed')), 1, { passed: 1, failed: 1 }],
  [
    'a suite that cannot be loaded',
    report(1, 0, suite('passed', 'passed'), suite('failed')),
    1,
    { passed: 1, failed: 1 },
  ],
  [
    'a suite whose hook failed',
    report(1, 1, suite('failed', 'passed'), suite('failed', 'failed')),
    1,
    { passed: 1, failed: 2 },
  ],
  ['an error outside of any test', report(3, 0, suite('passed', 'passed')), 1, { passed: 3, failed: 1 }],
  ['nothing run', report(0, 0), 0, { passed: 0, failed: 1 }],
  ['killed before its report', undefined, 137, { passed: 0, failed: 1 }],
])('%s', (_, text, status, counts) => {
  expect(countTests(text, status)).toEqual(counts)
})

it('names the slowest files, slowest first', () => {
  const ran = (name: string, seconds: number) => ({
    ...suite('passed', 'passed'),
    name,
    startTime: 0,
    endTime: seconds * 1000,
  })
  const text = report(3, 0, ran('quick', 0.5), ran('slow', 9), ran('middle', 3))
  expect(slowestFiles(text, 2)).toEqual([
    { file: 'slow', seconds: 9 },
    { file: 'middle', seconds: 3 },
  ])
  expect(slowestFiles(undefined, 2)).toEqual([])
})
