import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { getFile } from '@sealfleet/records/files'
import { listTasks, listWorkers } from '@sealfleet/records/upkeep'
import { setDomain } from '@sealfleet/records/fleet'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { startFleet, type Fleet } from '../../worker/test/fleet.js'

const MAIN = fileURLToPath(new URL('../../../bundle/maintenance.mjs', import.meta.url))
const QUICK = {
  SEALFLEET_RECONCILE_SECONDS: '1',
  SEALFLEET_SWEEP_SECONDS: '1',
  SEALFLEET_SCAN_SECONDS: '1',
  SEALFLEET_SWEEP_GRACE_SECONDS: '0',
  SEALFLEET_MAINTENANCE_PORT: '0',
}

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ s3: 'radosgw' })
})
afterAll(() => fleet?.[Symbol.asyncDispose]())

/** A maintenance process, its log lines, and its end. */
function startMaintenance(env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN], {
    env: { ...process.env, ...fleet.env, ...QUICK, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: { msg: string; [field: string]: unknown }[] = []
  createInterface(child.stdout).on('line', (line) => lines.push(JSON.parse(line) as (typeof lines)[number]))
  return { child, lines, closed: once(child, 'close') as Promise<[number | null, string | null]> }
}

test('a wiped queue fills again by itself, the files are stored, and SIGTERM ends the process with status 0', async () => {
  const names = Array.from({ length: 30 }, (_, i) => `file-${i}`)
  for (const name of names) await fleet.writeSource(name, name)
  const accepted = await fleet.producer.client.enqueueMany(names.map((path) => ({ root: 'in', path })))
  const ids = accepted.map(({ fileId = '' }) => fileId)
  await fleet.producer.queue.obliterate({ force: true })
  // Older than the minute in which a producer may still add the job.
  await ageFiles()

  const maintenance = startMaintenance()
  await using _worker = await fleet.startWorker()
  const states = await fleet.settled(ids)
  expect(new Set([...states.values()].map(({ state }) => state))).toEqual(new Set(['STORED']))
  expect((await fleet.restore(ids[7] ?? '')).toString()).toBe('file-7')

  await expect
    .poll(
      async () => (await listTasks(fleet.records)).filter(({ outcome }) => outcome === 'done').map(({ name }) => name),
      {
        timeout: 60_000,
      },
    )
    .toEqual(['audit-chain', 'audit-checkpoint', 'destroy', 'reconcile', 'reconcile-all', 'retention', 'scan', 'sweep'])
  const port = maintenance.lines.find(({ msg }) => msg === 'health and metrics')?.['port']
  const metrics = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text()
  expect(metrics).toMatch(
    /sealfleet_maintenance_actions_total\{task="reconcile(-all)?",thing="requeued",program="maintenance"\} 30/,
  )
  const workers = await listWorkers(fleet.records)
  expect(workers.filter(({ detail }) => (detail as { program?: string }).program === 'maintenance')).toMatchObject([
    { alive: true, concurrency: 0 },
  ])

  maintenance.child.kill('SIGTERM')
  expect(await maintenance.closed).toEqual([0, null])
  expect(maintenance.lines.at(-1)?.msg).toBe('stopped')
})

longTest('what a worker left that died after its upload is swept away once the file is stored', async () => {
  const { startDoomed } = await import('../../worker/test/doomed.js')
  await fleet.writeSource('left', Buffer.alloc(50_000, 1))
  const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'left' })
  await startDoomed(fleet, 'before:commit')
  const dead = await getFile(fleet.records, fileId)
  expect(dead?.file.state).toBe('RUNNING')

  const maintenance = startMaintenance()
  await using _worker = await fleet.startWorker({
    env: { SEALFLEET_LEASE_SECONDS: '2', SEALFLEET_LEASE_RENEW_SECONDS: '1' },
  })
  expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
  await expect.poll(() => objectsOf(fileId), { timeout: 60_000 }).toHaveLength(1)
  const [kept] = await objectsOf(fileId)
  expect(kept).toBe((await getFile(fleet.records, fileId))?.committed?.objectKey)
  expect((await fleet.restore(fileId)).length).toBe(50_000)
  maintenance.child.kill('SIGTERM')
  expect(await maintenance.closed).toEqual([0, null])
})

longTest(
  'what is past its retention is counted, and deleted only where that is turned on; a rotation that is due is a metric',
  async () => {
    await using _worker = await fleet.startWorker()
    await fleet.writeSource('old', 'old')
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'old' })
    await fleet.settled([fileId])
    await fleet.records.transaction((tx) => setDomain(tx, 'default', { retentionDays: 30, rotationDays: 30 }))
    await onDatabase(`UPDATE files SET stored_at = stored_at - interval '31 days' WHERE id = $1`, [fileId])
    await onDatabase(`UPDATE master_keys SET activated_at = activated_at - interval '31 days' WHERE role = 'SIG'`)
    const retention = async () => (await listTasks(fleet.records)).find(({ name }) => name === 'retention')?.report
    const quick = { SEALFLEET_RETENTION_SECONDS: '1' }

    const counting = startMaintenance(quick)
    await expect.poll(retention, { timeout: 60_000 }).toMatchObject({ dryRun: true, due: 1, expired: 0 })
    await expect.poll(() => portOf(counting), { timeout: 60_000 }).toEqual(expect.any(Number))
    const metrics = async () => (await fetch(`http://127.0.0.1:${portOf(counting)}/metrics`)).text()
    await expect
      .poll(metrics, { timeout: 60_000 })
      .toMatch(/sealfleet_key_rotation_due\{domain="default",role="sig",program="maintenance"\} 1/)
    expect(await metrics()).toMatch(/sealfleet_key_rotation_due\{domain="default",role="enc",program="maintenance"\} 0/)
    expect(await metrics()).toMatch(/sealfleet_key_age_days\{domain="default",role="sig",program="maintenance"\} 31\./)
    expect((await getFile(fleet.records, fileId))?.file.state).toBe('STORED')
    counting.child.kill('SIGTERM')
    expect(await counting.closed).toEqual([0, null])

    const deleting = startMaintenance({ ...quick, SEALFLEET_RETENTION_DELETE: 'true' })
    await expect.poll(() => objectsOf(fileId), { timeout: 60_000 }).toEqual([])
    expect((await getFile(fleet.records, fileId))?.file).toMatchObject({
      state: 'DELETED',
      deletion: { kind: 'EXPIRED' },
    })
    deleting.child.kill('SIGTERM')
    expect(await deleting.closed).toEqual([0, null])
  },
)

function portOf({ lines }: ReturnType<typeof startMaintenance>): number | undefined {
  const port = lines.find(({ msg }) => msg === 'health and metrics')?.['port']
  return typeof port === 'number' ? port : undefined
}

async function objectsOf(fileId: string): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of fleet.ports.store.list(`default/${fileId}/`)) keys.push(key)
  return keys
}

async function ageFiles(): Promise<void> {
  await onDatabase('ALTER TABLE files DISABLE TRIGGER files_guard')
  await onDatabase(`UPDATE files SET updated_at = updated_at - interval '5 minutes'`)
  await onDatabase('ALTER TABLE files ENABLE TRIGGER files_guard')
}

async function onDatabase(text: string, values: readonly unknown[] = []): Promise<void> {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: fleet.database.url })
  await client.connect()
  try {
    await client.query(text, [...values])
  } finally {
    await client.end()
  }
}
