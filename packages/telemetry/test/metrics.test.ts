import { expect, test } from 'vitest'
import { countFailure, createMetrics } from '../src/metrics.js'

test('every metric is named sealfleet_…, has a help text, and is in its own registry', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const all = await metrics.registry.getMetricsAsJSON()
  expect(all).toHaveLength(Object.keys(metrics).length - 1)
  for (const { name, help } of all) {
    expect(name).toMatch(/^sealfleet_[a-z0-9_]+$/)
    expect(help).not.toBe('')
  }
  expect(() => createMetrics({ processMetrics: false })).not.toThrow()
})

test('no label can hold an id', async () => {
  const few = [
    'outcome',
    'code',
    'step',
    'task',
    'thing',
    'class',
    'purpose',
    'queue',
    'state',
    'operation',
    // Of HTTP answers.
    'status',
    'reason',
    'direction',
    'dependency',
    'role',
    'token',
    // A domain's name: a retention class, of which there are some hundreds at most; never a file's or a person's.
    'domain',
  ]
  const metrics = createMetrics({ processMetrics: false })
  for (const metric of Object.values(metrics)) {
    const names = 'labelNames' in metric ? (metric.labelNames as string[]) : []
    for (const name of names) expect(few).toContain(name)
  }
  expect(await metrics.registry.metrics()).not.toMatch(/fileId|path/)
})

test('a failure counts by code and class, and once more when it is unclassified or pages', async () => {
  const metrics = createMetrics({ processMetrics: false, defaultLabels: { program: 'worker' } })
  countFailure(metrics, { code: 'S3_TIMEOUT', class: 'transient-infrastructure', page: false })
  countFailure(metrics, { code: 'UNCLASSIFIED', class: 'unclassified', page: true })
  const text = await metrics.registry.metrics()
  expect(text).toContain(
    'sealfleet_failures_total{code="S3_TIMEOUT",class="transient-infrastructure",program="worker"} 1',
  )
  expect(text).toContain('sealfleet_unclassified_failures_total{program="worker"} 1')
  expect(text).toContain('sealfleet_pages_total{code="UNCLASSIFIED",program="worker"} 1')
  expect(text).not.toContain('sealfleet_pages_total{code="S3_TIMEOUT"')
  expect(text).toContain('sealfleet_conservation_imbalance_files{program="worker"} 0')
})

test('the process’s own metrics come along unless they are not wanted', async () => {
  expect(await createMetrics().registry.metrics()).toContain('process_resident_memory_bytes')
  expect(await createMetrics({ processMetrics: false }).registry.metrics()).not.toContain(
    'process_resident_memory_bytes',
  )
})
