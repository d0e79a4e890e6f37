import { randomUUID } from 'node:crypto'
import path from 'node:path'
import { writeFile } from 'node:fs/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openAttempts } from './support/attempts.js'
import { Life, until } from './support/life.js'
import { createWorld } from './support/world.js'

/** Someone who writes to Postgres and to the bucket, as their owner would: no trigger keeps them from it. */
let life: Life
let fileId = ''
beforeAll(async () => {
  life = new Life(await createWorld())
  await life.sealfleet('keys', 'init', '--with-audit')
  await life.startFleet()
  await writeFile(path.join(life.world.data, 'contract'), 'the price is 100')
  const ran = await life.sealfleet('enqueue', 'contract', '--wait', '--json')
  fileId = ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
})
afterAll(() => life?.[Symbol.asyncDispose]())

interface Attempt {
  readonly id: string
  readonly object_key: string
  readonly object_length: string
  readonly etag: string
}

const committed = async (): Promise<Attempt> => {
  const [row] = await life.query<Attempt & pg.QueryResultRow>(
    `SELECT a.id, a.object_key, a.object_length, a.etag FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
     WHERE f.id = $1`,
    [fileId],
  )
  if (row === undefined) throw new Error('the file is not stored')
  return row
}

async function read({ object_key: key, object_length: length, etag }: Attempt): Promise<Buffer> {
  await using attempts = await openAttempts(life.world)
  const chunks: Uint8Array[] = []
  for await (const chunk of attempts.store.reader({ key, length: Number(length), etag }).read(0, Number(length)))
    chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

test(
  'an old object and its old row put back open as they did, and `audit verify` names the file',
  { timeout: 300_000 },
  async () => {
    const old = await committed()
    const bytes = await read(old)
    await life.sealfleet('keys', 'rotate')
    await life.sealfleet('rekey', '--domain', 'default', '--from', '1', '--wait')
    const present = await committed()
    expect(present.id).not.toBe(old.id)
    // The old object is gone by itself, and everything up to here is signed.
    await until(
      async () => !(await life.objects()).has(old.object_key),
      () => `${old.object_key} is still there`,
    )
    await life.stopFleet()
    await life.eventually('maintenance', 'run', 'audit-checkpoint')
    await life.eventually('audit', 'verify')

    {
      await using attempts = await openAttempts(life.world)
      await attempts.put(old.object_key, bytes, { fileId, attemptId: old.id })
    }
    const client = new pg.Client({ connectionString: life.world.databaseUrl })
    await client.connect()
    try {
      await client.query('SET session_replication_role = replica')
      await client.query(`UPDATE attempts SET state = 'SUPERSEDED', superseded_at = now() WHERE id = $1`, [present.id])
      await client.query(
        `UPDATE attempts SET state = 'COMMITTED', superseded_at = NULL, swept_at = NULL WHERE id = $1`,
        [old.id],
      )
      await client.query(`UPDATE files SET committed_attempt_id = $2 WHERE id = $1`, [fileId, old.id])
    } finally {
      await client.end()
    }

    // The object alone shows nothing: it is a true one, under a key that lives.
    await life.sealfleet('restore', fileId, '-o', path.join(life.world.dir, randomUUID()))
    const ran = await life.world.sealfleet(['audit', 'verify', '--json'])
    expect(ran.status).toBe(3)
    const { findings } = ran.json<{ findings: { code: string; kind: string; subject: string; message: string }[] }>()
    expect(findings).toMatchObject([{ code: 'AUDIT_MISMATCH', kind: 'record-mismatch', subject: `file ${fileId}` }])
    expect(findings[0]?.message).toContain(present.id)
  },
)
