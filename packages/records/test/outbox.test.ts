import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { failAttempt } from '../src/attempts/fail-attempt.js'
import { forgetRelayed, outboxDepth, relayOutbox } from '../src/upkeep/outbox.js'
import { getFile } from '../src/files/get-file.js'
import { listOpenFiles } from '../src/files/open-files.js'
import type { FileRow } from '../src/db/terms.js'
import { acceptFile, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})
beforeEach(async () => {
  await f.sql.query('DELETE FROM outbox')
})

type Asked = Record<string, unknown>
interface Answer {
  readonly file_id: string
  readonly outcome: string
  readonly state: string
  readonly generation: number
}

function asked(over: Asked = {}): Asked & { readonly fileId: string } {
  return { v: 1, fileId: randomUUID(), domain: 'default', source: { root: 'in', path: 'a/b' }, generation: 1, ...over }
}

async function enqueue(...requests: unknown[]): Promise<Answer[]> {
  const { rows } = await f.sql.query<Answer>('SELECT * FROM sealfleet_enqueue($1::jsonb)', [JSON.stringify(requests)])
  return rows
}

/** Delivers into a list. */
function collector(): { readonly seen: string[]; readonly deliver: (files: readonly FileRow[]) => Promise<void> } {
  const seen: string[] = []
  return {
    seen,
    deliver: (files) => {
      seen.push(...files.map(({ id }) => id))
      return Promise.resolve()
    },
  }
}

async function drain(deliver: (files: readonly FileRow[]) => Promise<void>, limit = 500): Promise<number> {
  let all = 0
  for (;;) {
    const n = await relayOutbox(f.records, deliver, { limit })
    all += n
    if (n === 0) return all
  }
}

async function outboxRows(fileId: string): Promise<{ generation: number; relayed: boolean }[]> {
  const { rows } = await f.sql.query<{ generation: number; relayed: boolean }>(
    'SELECT generation, relayed_at IS NOT NULL AS relayed FROM outbox WHERE file_id = $1 ORDER BY generation',
    [fileId],
  )
  return rows
}

describe('sealfleet_enqueue', () => {
  test('accepts files in order, with what was asked and an outbox row each', async () => {
    const { rows } = await f.sql.query<{ id: string }>(`SELECT sealfleet_batch(gen_random_uuid(), 'b', 2) AS id`)
    const batchId = rows[0]?.id
    const files = [asked({ context: 'Y3VzdG9tZXIgNDI', batchId }), asked(), asked({ batchId })]
    expect(await enqueue(...files)).toEqual(
      files.map(({ fileId }) => ({ file_id: fileId, outcome: 'accepted', state: 'QUEUED', generation: 1 })),
    )
    const { file } = (await getFile(f.records, files[0]!.fileId))!
    expect(file).toMatchObject({ domain: 'default', batchId, source: { root: 'in', path: 'a/b' }, state: 'QUEUED' })
    expect(file.context.toString()).toBe('customer 42')
    for (const { fileId } of files) expect(await outboxRows(fileId)).toEqual([{ generation: 1, relayed: false }])
    expect(await enqueue()).toEqual([])
  })

  test('leaves out v, domain, generation and context as the contract’s defaults', async () => {
    const fileId = randomUUID()
    await enqueue({ fileId, source: { root: 'in', path: 'a' } })
    const same = asked({ fileId, source: { root: 'in', path: 'a' }, context: '' })
    expect((await enqueue(same))[0]?.outcome).toBe('exists-same')
  })

  test('asked again while QUEUED, sends the job once more; of a file that has ended, none', async () => {
    const one = asked()
    await enqueue(one)
    const { seen, deliver } = collector()
    await drain(deliver)
    expect(await outboxRows(one.fileId)).toEqual([{ generation: 1, relayed: true }])
    expect((await enqueue(one))[0]).toMatchObject({ outcome: 'exists-same', state: 'QUEUED' })
    expect(await outboxRows(one.fileId)).toEqual([{ generation: 1, relayed: false }])
    await drain(deliver)
    expect(seen).toEqual([one.fileId, one.fileId])
    const claim = { ...request({ fileId: one.fileId }), source: { root: 'in', path: 'a/b' } }
    const { fingerprint, context } = (await getFile(f.records, one.fileId))!.file
    await claimFile(f.records, { ...claim, fingerprint, context })
    expect((await enqueue(one))[0]).toMatchObject({ outcome: 'exists-same', state: 'RUNNING' })
    await failAttempt(f.records, {
      fileId: one.fileId,
      owner: claim.owner,
      attemptNo: 1,
      ...{ code: 'SOURCE_MISSING', class: 'permanent-source', message: 'gone', disposition: 'dead' },
    })
    expect((await enqueue(one))[0]).toMatchObject({ outcome: 'exists-same', state: 'DEAD' })
    expect(await outboxRows(one.fileId)).toEqual([{ generation: 1, relayed: true }])
  })

  test('the same id for something else is a conflict, and the first is as it was, without a job', async () => {
    const one = asked()
    await enqueue(one)
    await drain(collector().deliver)
    const before = await getFile(f.records, one.fileId)
    for (const over of [
      { source: { root: 'in', path: 'x' } },
      { source: { root: 'on', path: 'a/b' } },
      { context: 'YQ' },
    ])
      expect((await enqueue({ ...one, ...over }))[0]?.outcome).toBe('conflict')
    expect(await getFile(f.records, one.fileId)).toEqual(before)
    expect(await outboxRows(one.fileId)).toEqual([{ generation: 1, relayed: true }])
  })

  test('of two requests with one id the first counts', async () => {
    const one = asked()
    const answers = await enqueue(one, { ...one, context: 'YQ' }, one)
    expect(answers.map(({ outcome }) => outcome)).toEqual(['accepted', 'conflict', 'exists-same'])
    expect(await outboxRows(one.fileId)).toHaveLength(1)
  })

  test('lists that overlap, written at once and in any order, are all answered and written once', async () => {
    const files = Array.from({ length: 200 }, () => asked())
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, i) => enqueue(...(i % 2 === 0 ? files : [...files].reverse()))),
    )
    const outcomes = answers.flat().map(({ outcome }) => outcome)
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(200)
    expect(outcomes.filter((outcome) => outcome === 'exists-same')).toHaveLength(600)
    expect(await outboxDepth(f.records)).toMatchObject({ waiting: 200 })
  })

  test('waits for another transaction that has the same file, and takes it over when that rolls back', async () => {
    const one = asked()
    const first = await f.sql.connect()
    await first.query('BEGIN')
    await first.query('SELECT * FROM sealfleet_enqueue($1::jsonb)', [JSON.stringify([one])])
    const second = enqueue(one)
    await first.query('ROLLBACK')
    first.release()
    expect((await second)[0]?.outcome).toBe('accepted')
  })

  test('means its own tables also for a caller whose search path has others of their names', async () => {
    const client = await f.sql.connect()
    try {
      await client.query(`BEGIN; CREATE SCHEMA theirs; CREATE TABLE theirs.files (id text); CREATE TEMP TABLE batches (id text);
        SET LOCAL search_path = theirs, public`)
      const one = asked()
      const ask = [JSON.stringify([one])]
      await client.query(`SELECT sealfleet_batch(gen_random_uuid())`)
      await client.query('SELECT * FROM sealfleet_enqueue($1::jsonb)', ask)
      const { rows } = await client.query('SELECT 1 FROM public.files WHERE id = $1', [one.fileId])
      expect(rows).toHaveLength(1)
    } finally {
      await client.query('ROLLBACK')
      client.release()
    }
  })

  test('needs no more rights than docs/reference/sql.md gives to a producer', async () => {
    const page = await readFile(new URL('../../../docs/reference/sql.md', import.meta.url), 'utf8')
    const grants = /```sql\n(GRANT [\s\S]*?);\n```/.exec(page)?.[1] ?? ''
    const role = `sf_producer_${randomUUID().slice(0, 8)}`
    const client = await f.sql.connect()
    try {
      await client.query(`BEGIN; CREATE ROLE ${role}; ${grants.replaceAll('producer', role)}; SET LOCAL ROLE ${role}`)
      const ask = [JSON.stringify([asked()])]
      await client.query(`SELECT sealfleet_batch(gen_random_uuid())`)
      for (const outcome of ['accepted', 'exists-same']) {
        const { rows } = await client.query<Answer>('SELECT * FROM sealfleet_enqueue($1::jsonb)', ask)
        expect(rows[0]?.outcome).toBe(outcome)
      }
      await expect(client.query(`UPDATE files SET state = 'DEAD'`)).rejects.toMatchObject({ code: '42501' })
    } finally {
      await client.query('ROLLBACK')
      client.release()
    }
  })

  test.each<[string, unknown, string]>([
    ['a path that climbs', asked({ source: { root: 'in', path: '../a' } }), 'enqueue_path'],
    ['a path that climbs later', asked({ source: { root: 'in', path: 'a/../../b' } }), 'enqueue_path'],
    ['a path that ends by climbing', asked({ source: { root: 'in', path: 'a/..' } }), 'enqueue_path'],
    ['an absolute path', asked({ source: { root: 'in', path: '/etc/passwd' } }), 'enqueue_path'],
    ['a dot', asked({ source: { root: 'in', path: '.' } }), 'enqueue_path'],
    ['a double slash', asked({ source: { root: 'in', path: 'a//b' } }), 'enqueue_path'],
    ['a slash at the end', asked({ source: { root: 'in', path: 'a/' } }), 'enqueue_path'],
    ['an empty path', asked({ source: { root: 'in', path: '' } }), 'enqueue_path'],
    ['climbing behind a line break', asked({ source: { root: 'in', path: 'a\n/../b' } }), 'enqueue_path'],
    [
      '4,097 bytes of path in 2,049 characters',
      asked({ source: { root: 'in', path: `a${'é'.repeat(2048)}` } }),
      'enqueue_path',
    ],
    ['a path that is no text', asked({ source: { root: 'in', path: 7 } }), 'enqueue_path'],
    ['a root with a slash', asked({ source: { root: 'in/..', path: 'a' } }), 'enqueue_root'],
    ['a root in capitals', asked({ source: { root: 'IN', path: 'a' } }), 'enqueue_root'],
    ['no root', asked({ source: { path: 'a' } }), 'enqueue_root'],
    ['no source', asked({ source: undefined }), 'enqueue_source'],
    ['a source with more in it', asked({ source: { root: 'in', path: 'a', host: 'x' } }), 'enqueue_source'],
    ['no id', asked({ fileId: undefined }), 'enqueue_file_id'],
    ['the nil id', asked({ fileId: '00000000-0000-0000-0000-000000000000' }), 'enqueue_file_id'],
    ['an id in capitals', asked({ fileId: randomUUID().toUpperCase() }), 'enqueue_file_id'],
    ['a domain by name', asked({ domain: 'tenant' }), 'enqueue_domain'],
    ['the nil domain', asked({ domain: '00000000-0000-0000-0000-000000000000' }), 'enqueue_domain'],
    ['another version', asked({ v: 2 }), 'enqueue_version'],
    ['another generation', asked({ generation: 2 }), 'enqueue_generation'],
    ['a context with padding', asked({ context: 'YQ==' }), 'enqueue_context'],
    ['a context not in its one form', asked({ context: 'YR' }), 'enqueue_context'],
    ['1,025 bytes of context', asked({ context: Buffer.alloc(1025).toString('base64url') }), 'enqueue_context'],
    ['a name misspelt', asked({ contxt: 'YQ' }), 'enqueue_request'],
    ['a batch by name', asked({ batchId: 'nightly' }), 'enqueue_batch'],
    ['a text', 'x', 'enqueue_request'],
    ['null', null, 'enqueue_request'],
  ])('refuses %s, and the whole list with it', async (_, bad, constraint) => {
    const good = asked()
    await expect(enqueue(good, bad)).rejects.toMatchObject({ code: '23514', constraint })
    expect(await getFile(f.records, good.fileId)).toBeUndefined()
  })

  test.each<[string, Asked]>([
    ['a domain', { domain: randomUUID() }],
    ['a batch', { batchId: randomUUID() }],
  ])('refuses %s that there is not', async (_, over) => {
    await expect(enqueue(asked(over))).rejects.toMatchObject({ code: '23503' })
  })

  test('refuses what is no list', async () => {
    for (const text of ['{}', 'null', '"x"'])
      await expect(f.sql.query('SELECT * FROM sealfleet_enqueue($1::jsonb)', [text])).rejects.toMatchObject({
        constraint: 'enqueue_requests',
      })
    await expect(f.sql.query('SELECT * FROM sealfleet_enqueue(NULL)')).rejects.toMatchObject({ code: '23514' })
  })
})

describe('the relay', () => {
  test('brings what is committed, in order and once, and nothing of what was rolled back', async () => {
    const client = await f.sql.connect()
    const [kept, gone] = [[asked(), asked()], [asked()]]
    for (const [files, end] of [[gone, 'ROLLBACK'] as const, [kept, 'COMMIT'] as const]) {
      await client.query('BEGIN')
      for (const file of files)
        await client.query('SELECT * FROM sealfleet_enqueue($1::jsonb)', [JSON.stringify([file])])
      const { seen, deliver } = collector()
      expect(await relayOutbox(f.records, deliver, { limit: 10 })).toBe(0)
      expect(seen).toEqual([])
      await client.query(end)
    }
    client.release()
    expect(await getFile(f.records, gone[0]!.fileId)).toBeUndefined()
    const { seen, deliver } = collector()
    expect(await relayOutbox(f.records, deliver, { limit: 1 })).toBe(1)
    expect(await relayOutbox(f.records, deliver, { limit: 5 })).toBe(1)
    expect(await relayOutbox(f.records, deliver, { limit: 5 })).toBe(0)
    expect(seen).toEqual(kept.map(({ fileId }) => fileId))
  })

  test('at once with others shares 3,000 rows and doubles none', async () => {
    const files = Array.from({ length: 3_000 }, () => asked())
    await enqueue(...files)
    // Each has rows before any may go on: one that waited for another's would wait forever.
    let arrived = 0
    let open: () => void = () => undefined
    const all = new Promise<void>((resolve) => (open = resolve))
    const lanes = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const { seen, deliver } = collector()
        const meeting = async (batch: readonly FileRow[]): Promise<void> => {
          if (++arrived === 3) open()
          await all
          await deliver(batch)
        }
        while ((await outboxDepth(f.records)).waiting > 0) await relayOutbox(f.records, meeting, { limit: 100 })
        return seen
      }),
    )
    expect(lanes.flat()).toHaveLength(3_000)
    expect(new Set(lanes.flat())).toEqual(new Set(files.map(({ fileId }) => fileId)))
    expect(lanes.every((seen) => seen.length > 0)).toBe(true)
  })

  test('that ends between delivering and committing only makes the next one deliver again', async () => {
    const one = asked()
    await enqueue(one)
    const { seen, deliver } = collector()
    const killed = new TypeError('killed')
    const dying = async (files: readonly FileRow[]): Promise<never> => {
      await deliver(files)
      throw killed
    }
    // The very error, not one that blames the database.
    await expect(relayOutbox(f.records, dying, { limit: 5 })).rejects.toBe(killed)
    expect(await outboxDepth(f.records)).toMatchObject({ waiting: 1 })
    expect(await relayOutbox(f.records, deliver, { limit: 5 })).toBe(1)
    expect(seen).toEqual([one.fileId, one.fileId])
    expect(await outboxDepth(f.records)).toEqual({ waiting: 0, oldestSeconds: 0 })
  })

  test('marks files that ended or were replayed without giving them a job', async () => {
    const [ended, replayed, running] = [asked(), asked(), asked()]
    await enqueue(ended, replayed, running)
    await f.sql.query(`UPDATE files SET state = 'DISCARDED' WHERE id = $1`, [ended.fileId])
    await f.sql.query('UPDATE files SET generation = 2 WHERE id = $1', [replayed.fileId])
    await f.sql.query(
      `UPDATE files SET state = 'RUNNING', last_attempt_no = 1, lease_owner = 'w', lease_expires_at = now() WHERE id = $1`,
      [running.fileId],
    )
    const { seen, deliver } = collector()
    expect(await relayOutbox(f.records, deliver, { limit: 5 })).toBe(3)
    expect(seen).toEqual([running.fileId])
    expect(await outboxRows(replayed.fileId)).toEqual([{ generation: 1, relayed: true }])
    // Asked again, the replayed one gets the job of its generation.
    await enqueue(replayed)
    expect(await relayOutbox(f.records, deliver, { limit: 5 })).toBe(1)
    expect(seen).toEqual([running.fileId, replayed.fileId])
  })

  test('is left the files it will bring; those accepted without it are open', async () => {
    const [posted, direct] = [asked(), request()]
    await enqueue(posted)
    await acceptFile(f.records, direct)
    const open = async (): Promise<string[]> =>
      (await listOpenFiles(f.records, 'QUEUED', { idleSeconds: 0, limit: 10_000 })).map(({ id }) => id)
    expect(await open()).toContain(direct.fileId)
    expect(await open()).not.toContain(posted.fileId)
    await drain(collector().deliver)
    expect(await open()).toContain(posted.fileId)
  })
})

test('the depth says how many wait and how long; what was relayed long ago is forgotten, what waits is not', async () => {
  expect(await outboxDepth(f.records)).toEqual({ waiting: 0, oldestSeconds: 0 })
  // Rows of one call come in the order of their files' ids.
  const files = [asked(), asked(), asked()].sort((a, b) => (a.fileId < b.fileId ? -1 : 1))
  await enqueue(...files)
  await f.sql.query(`UPDATE outbox SET created_at = now() - interval '150 minutes' WHERE file_id = $1`, [
    files[1]!.fileId,
  ])
  const { waiting, oldestSeconds } = await outboxDepth(f.records)
  expect([waiting, Math.floor(oldestSeconds / 3600)]).toEqual([3, 2])
  await relayOutbox(f.records, collector().deliver, { limit: 2 })
  await f.sql.query(`UPDATE outbox SET relayed_at = now() - interval '2 hours' WHERE file_id = $1`, [files[0]!.fileId])
  expect(await forgetRelayed(f.records, 3_600)).toBe(1)
  expect(await outboxRows(files[0]!.fileId)).toEqual([])
  expect(await outboxRows(files[1]!.fileId)).toEqual([{ generation: 1, relayed: true }])
  await f.sql.query(`UPDATE outbox SET relayed_at = now() - interval '30 minutes' WHERE relayed_at IS NOT NULL`)
  expect(await forgetRelayed(f.records, 600)).toBe(1)
  expect(await outboxDepth(f.records)).toMatchObject({ waiting: 1 })
  // Asked again, a row that was forgotten is written again.
  await enqueue(files[0])
  expect(await outboxRows(files[0]!.fileId)).toEqual([{ generation: 1, relayed: false }])
})
