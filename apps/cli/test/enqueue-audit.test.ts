import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { startStatementProxy, type StatementProxy } from '@sealfleet/testkit'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { createWorld, type World } from './support/world.js'

let world: World
let proxy: StatementProxy
beforeAll(async () => {
  world = await createWorld()
  const init = await world.inProcess(['keys', 'init'])
  expect(init.status, init.stderr).toBe(0)
  proxy = await startStatementProxy(world.databaseUrl)
})
beforeEach(() => proxy.heal())
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

/** Files of a batch, and how many the audit log says were brought. */
async function booked(): Promise<readonly { readonly files: number; readonly noted: number }[]> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{ files: number; noted: number }>(
      `SELECT (SELECT count(*)::int FROM files WHERE batch_id = b.id) AS files,
        (SELECT coalesce(sum((detail->>'files')::int), 0)::int FROM audit_log
          WHERE action = 'files.enqueue' AND subject_kind = 'batch' AND subject_id = b.id::text) AS noted
       FROM batches b ORDER BY b.created_at, b.id`,
    )
    return rows
  } finally {
    await client.end()
  }
}

async function files(folder: string): Promise<readonly string[]> {
  const names = [`${folder}-1`, `${folder}-2`]
  for (const name of names) await writeFile(path.join(world.data, name), name)
  return names
}

describe('files and the row of the audit log that says who brought them', { timeout: 120_000 }, () => {
  const ACCEPTS = 'jsonb_to_recordset'
  it.each<readonly [string, () => void, number]>([
    ['the files are written and the row is not', () => proxy.breakAfter(ACCEPTS), 0],
    ['both are written and not committed', () => proxy.breakAfter('files.enqueue'), 0],
    ['both are committed, and the answer is lost', () => proxy.loseAnswerOf('COMMIT\0'), 2],
  ])('are both there or both not when the connection breaks after %s', async (_when, fault, there) => {
    const before = (await booked()).length
    const lost = proxy.lost()
    const names = await files(`broken-${before}`)
    fault()
    const broken = await world.inProcess(['enqueue', ...names, '--json'], {
      env: { SEALFLEET_DATABASE_URL: proxy.url },
    })
    expect(proxy.lost() - lost).toBe(1)
    expect(broken.status, broken.stderr).toBe(6)
    expect((await booked())[before]).toEqual({ files: there, noted: there })
    // Asked again, everything is there, and noted once.
    const again = await world.inProcess(['enqueue', ...names, '--json'])
    expect(again.status, again.stderr).toBe(0)
    expect((await booked())[before]).toEqual({ files: 2, noted: 2 })
  })

  it('are one row for each 500 files, with their number', async () => {
    const before = (await booked()).length
    await Promise.all(Array.from({ length: 501 }, (_, i) => writeFile(path.join(world.data, `many-${i}`), 'x')))
    const ran = await world.inProcess(['enqueue', 'many-*', '--json'])
    expect(ran.status, ran.stderr).toBe(0)
    expect((await booked())[before]).toEqual({ files: 501, noted: 501 })
  })
})
