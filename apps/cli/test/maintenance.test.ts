import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { RECURRING } from '@sealfleet/maintenance'
import { openRecords } from '@sealfleet/records'
import { finishTask, startTask } from '@sealfleet/records/upkeep'
import { listAudit } from '@sealfleet/records/audit'
import { openStore } from '@sealfleet/store'
import pg from 'pg'
import { freshPrefix } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Reconciled {
  readonly openFiles: number
  readonly lost: number
  readonly requeued: number
  readonly dryRun: boolean
  readonly balanced: boolean
}
interface Swept {
  readonly objectsDeleted: number
  readonly abandoned: number
  readonly unknown: number
  readonly kept: number
  readonly found: number
  readonly findings: readonly { readonly kind: string; readonly fileId: string }[]
}

interface Task {
  readonly name: string
  readonly outcome: string | null
  readonly owner: string | null
  readonly finishedAt: string | null
  readonly everySeconds: number | null
  readonly dueAt: string | null
}

let world: World
beforeAll(async () => {
  world = await createWorld({ store: 'radosgw' })
  expect((await world.sealfleet(['keys', 'init'])).status).toBe(0)
})
afterAll(() => world?.[Symbol.asyncDispose]())

/** The world's bucket. */
async function openBucket() {
  return openStore({
    endpoint: world.env['SEALFLEET_S3_ENDPOINT'] ?? '',
    region: 'us-east-1',
    bucket: world.env['SEALFLEET_S3_BUCKET'] ?? '',
    accessKeyId: world.env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: world.env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
  })
}

describe('sealfleet maintenance run reconcile', () => {
  test('gives files a job whose queue was lost; a dry run only tells; the audit log knows', async () => {
    for (const name of ['a', 'b', 'c']) await writeFile(path.join(world.data, name), name)
    expect((await world.sealfleet(['enqueue', 'a', 'b', 'c'])).status).toBe(0)
    const lost = { SEALFLEET_QUEUE_PREFIX: freshPrefix() } // as empty as a queue that was wiped
    const looked = await world.sealfleet(['maintenance', 'run', 'reconcile', '--idle', '0', '--dry-run', '--json'], {
      env: lost,
    })
    expect(looked.json<Reconciled>()).toMatchObject({
      openFiles: 3,
      lost: 3,
      requeued: 0,
      dryRun: true,
      balanced: true,
    })
    const done = await world.sealfleet(['maintenance', 'run', 'reconcile', '--idle', '0', '--json'])
    expect(done.json<Reconciled>()).toMatchObject({ openFiles: 3, lost: 0, requeued: 0 })

    const { Queue } = await import('bullmq')
    const queue = new Queue('ingest', {
      connection: { url: world.env['SEALFLEET_REDIS_URL'] ?? '' },
      prefix: world.env['SEALFLEET_QUEUE_PREFIX'] ?? '',
    })
    await queue.obliterate({ force: true })
    await queue.close()
    const repaired = await world.sealfleet(['maintenance', 'run', 'reconcile', '--idle', '0'])
    expect(repaired.status).toBe(0)
    expect(repaired.stdout.toString()).toMatch(/without a job +3, 3 got a new one/)
    await using records = await openRecords(world.databaseUrl)
    const audit = await listAudit(records, { subjectKind: 'queue', subjectId: 'ingest' })
    expect(audit).toMatchObject([{ action: 'reconcile', detail: { requeued: 3 } }])
    await using _worker = await world.worker()
    const waited = await world.sealfleet(['enqueue', 'a', 'b', 'c', '--wait', '--json'])
    expect(waited.status).toBe(0)
  })

  test('ends with 6 when Redis is out of reach', async () => {
    const env = { SEALFLEET_REDIS_URL: 'redis://127.0.0.1:1' }
    const ran = await world.inProcess(['maintenance', 'run', 'reconcile', '--json'], { env })
    expect(ran.status).toBe(6)
    expect(ran.json<{ error: { code: string } }>().error.code).toBe('REDIS_UNAVAILABLE')
  })
})

describe('sealfleet maintenance run sweep', () => {
  test('tells of an object that is gone, by id, and ends with 1; an unknown one it leaves', async () => {
    using store = await openBucket()
    const before = await world.sealfleet(['maintenance', 'run', 'sweep', '--scan', '--grace', '0', '--json'])
    expect(before.status).toBe(0)
    expect(before.json<Swept>()).toMatchObject({ kept: 3, found: 0, objectsDeleted: 0, unknown: 0 })

    const listed = await world.sealfleet(['list', '--json'])
    const [first] = listed.json<{ files: { fileId: string }[] }>().files
    const traced = await world.sealfleet(['status', first?.fileId ?? '', '--json'])
    const { key } = traced.json<{ object: { key: string } }>().object
    await store.delete(key)
    const after = await world.sealfleet(['maintenance', 'run', 'sweep', '--scan', '--grace', '0', '--json'])
    expect(after.status).toBe(1)
    expect(after.json<Swept>()).toMatchObject({
      found: 1,
      findings: [{ kind: 'missing', fileId: first?.fileId }],
      kept: 2,
    })
    const shown = await world.sealfleet(['maintenance', 'run', 'sweep', '--scan', '--grace', '0'])
    expect(shown.stdout.toString()).toContain(key)
  })

  test('a plain sweep of a tidy store does nothing and says so', async () => {
    const ran = await world.sealfleet(['maintenance', 'run', 'sweep'])
    expect(ran.status).toBe(0)
    expect(ran.stdout.toString()).toMatch(/objects deleted +0/)
    expect((await world.sealfleet(['maintenance', 'run', 'sweep', '--dry-run', '--json'])).json<Swept>()).toMatchObject(
      { dryRun: true },
    )
  })

  test('refuses a grace that is none', async () => {
    expect((await world.inProcess(['maintenance', 'run', 'sweep', '--grace', '-1'])).status).toBe(2)
  })
})

describe('sealfleet maintenance list and show', () => {
  const tasks = async (): Promise<ReadonlyMap<string, Task>> => {
    const ran = await world.inProcess(['maintenance', 'list', '--json'])
    return new Map(ran.json<{ tasks: Task[] }>().tasks.map((task) => [task.name, task]))
  }

  test('have every task with its last run, its outcome and when it is due next', async () => {
    await using records = await openRecords(world.databaseUrl)
    const never = await tasks()
    expect([...never.keys()]).toEqual(Object.keys(RECURRING))
    expect(never.get('sweep')).toMatchObject({ outcome: null, finishedAt: null, dueAt: null })

    const sweep = { name: 'sweep', owner: 'keeper-1' }
    await startTask(records, { ...sweep, everySeconds: 300, leaseSeconds: 60 })
    expect((await tasks()).get('sweep')).toMatchObject({ owner: 'keeper-1', dueAt: null })
    expect((await world.inProcess(['maintenance', 'list'])).stdout.toString()).toMatch(/^sweep +never +- +run now by/m)
    await finishTask(records, { ...sweep, outcome: 'found', report: { found: 3 } })
    const reconcile = { name: 'reconcile', owner: 'keeper-1' }
    await startTask(records, { ...reconcile, everySeconds: 60, leaseSeconds: 60 })
    await finishTask(records, { ...reconcile, outcome: 'REDIS_UNAVAILABLE', report: {} })

    const listed = await tasks()
    const waits = (name: string): number => {
      const { dueAt, finishedAt } = listed.get(name) ?? {}
      return (Date.parse(dueAt ?? '') - Date.parse(finishedAt ?? '')) / 1000
    }
    // From the start of the run, so a little less after its end. A failed task is tried again after 15 s.
    expect(waits('sweep')).toBeGreaterThan(240)
    expect(waits('sweep')).toBeLessThanOrEqual(300)
    expect(waits('reconcile')).toBeLessThanOrEqual(15)
    expect(listed.get('sweep')).toMatchObject({ outcome: 'found', owner: null, everySeconds: 300 })
    const shown = (await world.inProcess(['maintenance', 'list'])).stdout.toString()
    expect(shown).toMatch(/^TASK +LAST ENDED +OUTCOME +NEXT DUE +DOES$/m)
    expect(shown).toMatch(/^sweep +\d{4}-\S+Z +found +\d{4}-\S+Z +deletes what/m)
    expect(shown).toMatch(/^reconcile +\d{4}-\S+Z +REDIS_UNAVAILABLE /m)
  })

  test('say that a task is overdue which no process takes', async () => {
    const sql = new pg.Client({ connectionString: world.databaseUrl })
    await sql.connect()
    await sql.query(`UPDATE maintenance_tasks SET started_at = started_at - interval '1 day'`)
    await sql.end()
    expect((await world.inProcess(['maintenance', 'list'])).stdout.toString()).toMatch(/^sweep .* overdue since \d{4}/m)
  })

  test('show the report of the last run, and of scrub the passes', async () => {
    const sweep = await world.inProcess(['maintenance', 'show', 'sweep', '--json'])
    expect(sweep.json()).toMatchObject({ task: { name: 'sweep', outcome: 'found', report: { found: 3 } } })
    expect((await world.inProcess(['maintenance', 'show', 'sweep'])).stdout.toString()).toMatch(/^found +3$/m)
    const scrub = await world.inProcess(['maintenance', 'show', 'scrub', '--json'])
    expect(scrub.json()).toMatchObject({ task: { name: 'scrub', outcome: null }, passes: [], left: null })
    expect((await world.inProcess(['maintenance', 'show', 'nonesuch'])).status).toBe(2)
    expect((await world.inProcess(['maintenance', 'run', 'nonesuch'])).status).toBe(2)
  })
})
