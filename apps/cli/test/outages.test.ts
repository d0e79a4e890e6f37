import type { Records } from '@sealfleet/records'
import type { WorkerRow } from '@sealfleet/records/upkeep'
import { expect, it } from 'vitest'
import { Outages, outagesOf } from '../src/commands/enqueue/outages.js'

const worker = (detail: unknown, alive = true): WorkerRow => ({ alive, detail }) as WorkerRow

it('a wait says what workers cannot reach, and that there is none', () => {
  const out = worker({ breakers: { s3: 'S3_UNAVAILABLE' } })
  expect(outagesOf([out, out, worker({}), worker({ breakers: { hsm: 'HSM_UNAVAILABLE' } }, false)])).toEqual([
    'workers: they cannot reach s3 (S3_UNAVAILABLE)',
  ])
  const none = ['workers: none is running; start one, files stay queued']
  expect(outagesOf([worker({ program: 'maintenance' })])).toEqual(none)
  expect(outagesOf([worker({}, false)])).toEqual(none)
  expect(outagesOf([worker({})])).toEqual([])
})

it('an outage is said once, and once more when it is over', () => {
  const said: string[] = []
  const outages = new Outages({} as Records, (text) => said.push(text.replace(/^\d\d:\d\d:\d\d /, '')))
  for (let n = 0; n < 3; n++) outages.begin('Postgres is away')
  for (let n = 0; n < 3; n++) outages.end('Postgres is away')
  expect(said).toEqual([
    'Postgres is away; the wait continues by itself',
    expect.stringMatching(/^over after 0\.\d s: Postgres is away$/),
  ])
})
