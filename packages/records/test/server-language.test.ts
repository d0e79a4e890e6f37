/** What a refusal means never depends on the server's language: SQLSTATE and the server's fields say it, not its sentence. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { openRecords, type Records } from '../src/db/records.js'
import { RecordsError } from '../src/db/errors.js'
import { Prisma } from '../src/generated/client.js'
import { startGermanServer, type GermanServer } from './german-server.js'
import { acceptFile, attempt, openFixture, opened, request, type Fixture } from './support.js'

let f: Fixture
let german: GermanServer
let records: Records
beforeAll(async () => {
  f = await openFixture()
  german = await startGermanServer(f.url)
  records = await openRecords(german.url)
})
afterAll(async () => {
  await records?.close()
  await german?.[Symbol.asyncDispose]()
  await f?.[Symbol.asyncDispose]()
})

async function refusal(work: Promise<unknown>): Promise<RecordsError> {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(RecordsError)
  return error as RecordsError
}

const at = (change: (url: URL) => void): string => {
  const url = new URL(german.url)
  change(url)
  return url.href
}

describe('a server that speaks German', () => {
  test('refuses a value by a rule: the rule is named', async () => {
    const job = request({ source: { root: 'in', path: '' } })
    const error = await refusal(acceptFile(records, job))
    const plain = await refusal(acceptFile(f.records, job))
    expect(plain.constraint).toMatch(/^files_/)
    expect([error.code, error.constraint, error.sqlState]).toEqual([plain.code, plain.constraint, plain.sqlState])
  })

  test('refuses a nonce that was used before', async () => {
    const { nonceEnc, nonceIdEnc } = await opened(f)
    const job = request()
    await claimFile(records, job)
    const error = await refusal(openAttempt(records, attempt(f, job, { nonceEnc, nonceIdEnc })))
    expect(error).toMatchObject({ code: 'NONCE_REUSE', sqlState: '23505' })
  })

  test('refuses a step that the rules forbid, a domain and a table that are not there', async () => {
    const step = await refusal(records.query(Prisma.sql`UPDATE master_keys SET state = 'PENDING'`))
    expect([step.code, step.constraint]).toEqual(['BAD_STATE', 'master_keys_transition'])
    expect((await refusal(acceptFile(records, request({ domain: randomUUID() })))).code).toBe('NOT_FOUND')
    expect((await refusal(records.query(Prisma.sql`SELECT 1 FROM no_such_table`))).code).toBe('DB_SCHEMA')
  })

  test('refuses a right: the right and the table are named', async () => {
    const role = `sf_reader_${randomUUID().slice(0, 8)}`
    await f.sql.query(
      `CREATE ROLE ${role} LOGIN PASSWORD 'reader'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`,
    )
    try {
      const reader = await openRecords(at((url) => Object.assign(url, { username: role, password: 'reader' })))
      try {
        const error = await refusal(claimFile(reader, request()))
        expect(error).toMatchObject({ code: 'DB_ACCESS_DENIED', sqlState: '42501' })
        expect(error.message).toMatch(/lacks a right: \w+ on table \w+$/)
      } finally {
        await reader.close()
      }
    } finally {
      await f.sql.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }
  })

  test('refuses a login, and a database that it does not have', async () => {
    const error = await refusal(openRecords(at((url) => (url.password = 'n0t-the-password'))))
    expect(error).toMatchObject({ code: 'DB_ACCESS_DENIED', sqlState: '28P01' })
    expect(error.message).toMatch(/^user or password is refused/)
    const other = await refusal(openRecords(at((url) => (url.pathname = '/no_such_database'))))
    expect(other).toMatchObject({ code: 'DB_SCHEMA', sqlState: '3D000' })
  })

  test('ends a statement that takes too long', async () => {
    await using hasty = await openRecords(german.url, { statementTimeoutMs: 1_000 })
    const error = await refusal(hasty.query(Prisma.sql`SELECT 1 AS n FROM pg_sleep(30)`))
    expect(error).toMatchObject({ code: 'DB_UNAVAILABLE', sqlState: '57014' })
  })
})

test('every sentence above was given in German, but those of our own triggers', () => {
  expect(german.untranslated.filter((text) => !/^[a-z_]+: /.test(text))).toEqual([])
})
