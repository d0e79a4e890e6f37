import { every, freshHex, matrix } from '@sealfleet/testkit'
import { existsSync } from 'node:fs'
import { unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type Ran, type World } from './support/world.js'

/**
 * One life of a fleet, told by the verbs that change something. Each is run dry first: it ends as the real one will, and not a row
 * of the database is another afterwards. Then it is run, and the audit log has who did what to what, and why.
 */

/** Rows that processes write about themselves, anyone who asks what. */
const NOT_OURS = ['workers', 'maintenance_tasks', '_prisma_migrations']

/** That a PIN was right is told by anyone who logs in, dry or not; that one was rejected is what is decided about. */
const ROWS: Readonly<Record<string, string>> = { hsm_latches: `(SELECT * FROM hsm_latches WHERE state = 'REJECTED')` }

let world: World
let sql: pg.Pool
/** Ids that later steps name. */
const ids = new Map<string, string>()

beforeAll(async () => {
  world = await createWorld()
  sql = new pg.Pool({ connectionString: world.databaseUrl, max: 2 })
  for (const name of ['a', 'b', 'v']) await writeFile(path.join(world.data, name), `the file ${name}`)
})
afterAll(async () => {
  await sql?.end()
  await world?.[Symbol.asyncDispose]()
})

/** A digest of every row of every table. */
async function database(): Promise<Readonly<Record<string, string>>> {
  const { rows: tables } = await sql.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> ALL($1)`,
    [NOT_OURS],
  )
  const digests: Record<string, string> = {}
  for (const { name } of tables) {
    const { rows } = await sql.query<{ digest: string }>(
      `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') AS digest FROM ${ROWS[name] ?? name} t`,
    )
    digests[name] = rows[0]?.digest ?? ''
  }
  return digests
}

interface AuditRow {
  readonly id: string
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly detail: { readonly reason?: string }
}

async function auditAfter(id: string): Promise<readonly AuditRow[]> {
  const { rows } = await sql.query<AuditRow>(
    `SELECT id::text AS id, actor, action, subject_kind AS subject, detail FROM audit_log WHERE id > $1::bigint ORDER BY audit_log.id`,
    [id],
  )
  return rows
}

async function lastAudit(): Promise<string> {
  const { rows } = await sql.query<{ id: string }>(`SELECT coalesce(max(id), 0)::text AS id FROM audit_log`)
  return rows[0]?.id ?? '0'
}

function run(args: readonly string[]): Promise<Ran> {
  return world.inProcess(
    [...args, '--json'].map((word) => word.replace(/^:(\w+)$/, (_, name: string) => ids.get(name) ?? word)),
  )
}

/** The first UUID under one of these names in a report. */
function remember(ran: Ran, name: string): void {
  const report = ran.json<{
    request?: { id: string } | string
    hold?: { id: string }
    id?: string
    files?: { fileId: string }[]
  }>()
  const request = typeof report.request === 'string' ? report.request : report.request?.id
  const id = request ?? report.hold?.id ?? report.files?.[0]?.fileId ?? report.id
  if (id !== undefined) ids.set(name, id)
}

interface Step {
  readonly args: readonly string[]
  /** actions of the rows it leaves, in their order; one of them has the reason of the command */
  readonly rows: readonly string[]
  /** what later steps call what it made */
  readonly as?: string
}

const reason = ['--reason', 'told in the test'] as const
const step = (line: string, rows: readonly string[], as?: string): Step => {
  const args = line.split(' ').flatMap((word) => (word === 'REASON' ? reason : [word]))
  return { args, rows, ...(as === undefined ? {} : { as }) }
}

async function take({ args, rows, as }: Step): Promise<void> {
  const before = await database()
  const dry = await run([...args, '--dry-run'])
  expect(await database(), `${args.join(' ')} --dry-run`).toEqual(before)
  const last = await lastAudit()
  const real = await run(args)
  const said = real.stdout.toString() + real.stderr
  expect(real.status, said).toBe(0)
  expect(dry.status, dry.stdout.toString() + dry.stderr).toBe(0)
  if (as !== undefined) remember(real, as)
  // The log of commits is the workers' own.
  const left = (await auditAfter(last)).filter(({ action }) => !action.startsWith('file.'))
  expect(
    left.map(({ action }) => action),
    said,
  ).toEqual(rows)
  for (const row of left) expect(row.actor).toBe('cli:tester')
  // What a request was made for is in the bytes that are signed.
  const toldWhy = args.includes('--reason') && rows.length > 0 && !rows.includes('requests.create')
  if (toldWhy) expect(left.map(({ detail }) => detail.reason)).toContain(reason[1])
}

async function sign(request: string, operators: readonly string[]): Promise<void> {
  const file = `${freshHex()}.bin`
  expect((await run(['requests', 'show', request, '--body', file])).status).toBe(0)
  for (const name of operators) {
    await take(step(`requests sign ${file} --key ${name}.pem -o ${file}.${name} --yes`, []))
    await take(step(`requests approve ${request} --operator ${name} --signature ${file}.${name}`, ['requests.approve']))
  }
}

/** Before a key is made a row says that it is about to be: the record of a run that is stopped between. */
const MADE = ['keys.begin', 'keys.generate'] as const

describe('the life of a fleet, each step first dry', () => {
  it('domains and keys', async () => {
    const active = ['keys.activate', 'keys.activate', 'keys.activate']
    const made = [...MADE, ...MADE, ...MADE, ...active]
    await take(step('keys init --with-audit', ['domains.add', ...made]))
    await take(step('domains add vault --nonces detached --accept-loss-with-database', ['domains.add']))
    await take(step('domains set vault --rotation-days 90 REASON', ['domains.set']))
    await take(step('keys init --domain vault', made))
  })

  it('operators, and a request that is not wanted any more', async () => {
    for (const name of ['ann', 'bob', 'cyd']) {
      const keygen = ['operators', 'keygen', '-o', `${name}.pem`, '--no-passphrase']
      await run([...keygen, '--dry-run'])
      expect(existsSync(path.join(world.data, `${name}.pem`))).toBe(false)
      const { publicKey } = (await run(keygen)).json<{ publicKey: string }>()
      await writeFile(path.join(world.data, `${name}.pub`), publicKey)
    }
    await take(step('operators add ann --public-key ann.pub', ['operators.add']))
    await take(step('operators add bob --public-key bob.pub', ['operators.add']))
    await take(step('operators add cyd --public-key cyd.pub', ['requests.create'], 'enrol'))
    await sign(':enrol', ['ann', 'bob'])
    await take(step('operators add cyd --public-key cyd.pub --request :enrol', ['requests.use', 'operators.add']))
    await take(step('operators revoke cyd REASON', ['requests.create'], 'revoke'))
    await take(step('requests cancel :revoke REASON', ['requests.cancel']))
  })

  it('tokens', async () => {
    await take(step('tokens create erp --scope read --domain vault', ['tokens.create']))
    await take(step('tokens revoke erp REASON', ['tokens.revoke']))
  })

  it('files, while a worker runs', async () => {
    await take(step('enqueue a --id one', ['files.enqueue'], 'a'))
    await take(step('enqueue b', ['files.enqueue'], 'b'))
    await take(step('enqueue v --domain vault', ['files.enqueue'], 'v'))
    await using _worker = await world.worker()
    for (const name of ['a', 'b', 'v']) {
      const state = async () => (await run(['status', `:${name}`])).json<{ state: string }>().state
      await expect.poll(state, { timeout: 60_000, interval: 200 }).toBe('STORED')
    }
  })

  it('queues, holds, restoring', async () => {
    await take(step('queue pause REASON', ['queue.pause']))
    await take(step('queue resume REASON', ['queue.resume']))
    await take(step('queue probe REASON', ['queue.probe']))
    await take(step('holds place --file one REASON', ['holds.place'], 'hold'))
    await take(step('holds release :hold REASON', ['holds.release']))
    const out = path.join(world.data, 'restored')
    await run(['restore', ':a', '-o', out, '--dry-run'])
    expect(existsSync(out)).toBe(false)
    await take(step(`restore :a -o ${out}`, []))
    await unlink(out)
  })

  it('rotation, re-encryption, wrapping', async () => {
    await take(step('keys rotate REASON', [...MADE, ...MADE, 'keys.activate', 'keys.activate']))
    await take(step('keys rotate --domain vault --role kek REASON', [...MADE, 'keys.activate']))
    await take(step('rekey --domain default --from 1 --rate 5 REASON', ['rekey.start'], 'run'))
    await take(step('rekey pause :run REASON', ['rekey.pause']))
    await take(step('rekey resume :run REASON', ['rekey.resume']))
    await take(step('rekey retry :run REASON', []))
    await take(step('rekey cancel :run REASON', ['rekey.cancel']))
    await take(step('rewrap --domain vault', ['keys.rewrap']))
  })

  it('housekeeping and proof', async () => {
    await take(step('maintenance run scrub', ['scrub.run']))
    await take(step('maintenance run reconcile', []))
    await take(step('maintenance run sweep --grace 0', []))
    await take(step('maintenance run retention --yes', []))
    await take(step('maintenance run audit-checkpoint', ['audit.checkpoint']))
  })

  it('a PIN that is locked out', async () => {
    await sql.query(
      `INSERT INTO hsm_latches (token_serial, pin_id, state, ckr, set_by) VALUES ('abc', 'other', 'REJECTED', 160, 'a worker')`,
    )
    await take(step('doctor pin reset abc other REASON', ['hsm.unlatch']))
  })

  it('removal, shredding, the end of a key', async () => {
    await take(step('rm one REASON --yes', ['files.remove', 'sweep.delete']))
    await take(step('shred :v REASON', ['requests.create'], 'shred'))
    await sign(':shred', ['ann', 'bob'])
    await take(step('shred :v --request :shred', ['requests.use', 'files.shred']))
    await take(step('keys retire --domain vault --role sig REASON --yes', ['keys.retire']))
    const destroy = 'keys destroy --domain vault --role kek --version 1'
    await take(step(`${destroy} REASON --backups none`, ['requests.create'], 'destroy'))
    await sign(':destroy', ['ann', 'cyd'])
    await take(step(`${destroy} --request :destroy`, ['requests.use', 'keys.destroy.schedule']))
    await take(step(`${destroy} --cancel REASON`, ['keys.destroy.cancel']))
  })
})

describe('what is refused is refused dry, and nothing changes', () => {
  const UNKNOWN = '00000000-0000-4000-8000-000000000000'
  const refusals: readonly [line: string, status: number, code: string][] = [
    ['keys destroy --role enc --version 2 REASON --backups none', 1, 'BAD_STATE'],
    ['keys destroy --role enc --version 1 REASON --backups none', 1, 'STILL_REFERENCED'],
    ['keys destroy --domain vault --role kek --version 1 --request :destroy', 1, 'REQUEST_USED'],
    ['keys destroy --domain vault --role kek --version 1 --cancel REASON', 1, 'BAD_STATE'],
    ['keys destroy --domain vault --role kek --version 1 --carry-out', 1, 'BAD_STATE'],
    [`keys destroy --domain vault --role kek --version 1 --request ${UNKNOWN}`, 4, 'NOT_FOUND'],
    ['keys rotate --domain vault --role sig', 5, 'NO_ACTIVE_KEY'],
    ['keys retire --domain vault --role sig REASON --yes', 1, 'BAD_STATE'],
    ['keys init --suite 2', 1, 'CONFLICT'],
    ['domains add vault', 1, 'CONFLICT'],
    ['domains add other --id 00000000-0000-4000-8000-00000000000x', 2, 'USAGE'],
    ['domains set default --nonces detached --accept-loss-with-database', 5, 'NO_ACTIVE_KEY'],
    ['holds place --file one REASON', 1, 'BAD_STATE'],
    ['holds release :hold REASON', 1, 'BAD_STATE'],
    ['shred :b REASON', 1, 'BAD_STATE'],
    [`shred :v --request ${UNKNOWN}`, 4, 'NOT_FOUND'],
    ['operators add ann --public-key bob.pub', 1, 'CONFLICT'],
    ['operators add ../ --public-key bob.pub', 2, 'USAGE'],
    ['operators add 🙂 --public-key bob.pub', 2, 'USAGE'],
    ['operators revoke nobody REASON', 4, 'OPERATOR_UNKNOWN'],
    ['tokens create erp --scope read --domain nonesuch', 4, 'NOT_FOUND'],
    ['tokens create erp --scope root', 2, 'USAGE'],
    ['tokens create ../ --scope read', 2, 'USAGE'],
    ['tokens revoke erp REASON', 4, 'NOT_FOUND'],
    ['requests cancel :shred REASON', 1, 'REQUEST_USED'],
    ['rekey --domain default --from 2', 1, 'BAD_STATE'],
    ['rekey pause :run REASON', 1, 'BAD_STATE'],
    [`rekey cancel ${UNKNOWN} REASON`, 4, 'NOT_FOUND'],
    ['rewrap --domain default', 5, 'NO_ACTIVE_KEY'],
    ['enqueue b --domain nonesuch', 4, 'NOT_FOUND'],
    ['enqueue b --domain vault', 5, 'NO_ACTIVE_KEY'],
    ['enqueue b --id one', 1, 'REQUEST_CONFLICT'],
    ['restore :b -o b', 1, 'OUTPUT_EXISTS'],
    ['audit adopt REASON', 1, 'BAD_STATE'],
    ['doctor pin reset none REASON', 4, 'NOT_FOUND'],
    ['recover', 1, 'BAD_STATE'],
  ]
  matrix(refusals, every(4))('%s: %i %s', async ([line, status, code]) => {
    const { args } = step(line, [])
    const before = await database()
    for (const words of [[...args, '--dry-run'], args]) {
      const ran = await run(words)
      const { error } = ran.json<{ error: { code: string; message: string; fix?: string } }>()
      expect([ran.status, error.code], `${words.join(' ')}: ${error.message}`).toEqual([status, code])
      expect(error.fix, error.message).toBeTruthy()
      expect(ran.stderr).not.toMatch(/\n\s+at /)
    }
    expect(await database()).toEqual(before)
  })
})
