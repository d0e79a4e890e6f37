import { listAudit } from '@sealfleet/records/audit'
import { listMasterKeys } from '@sealfleet/records/keys'
import { openRecords, type KeyRow, type Records } from '@sealfleet/records'
import { every, Faulty, longTest, matrix } from '@sealfleet/testkit'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from './support/life.js'
import { HeldTable, Stoppable } from './support/stopping.js'
import { createWorld, type Ran, type World } from './support/world.js'

const ROTATE = ['keys', 'rotate']
const ENC = 'sealfleet/default/enc/s1/2'
const SIG = 'sealfleet/default/sig/s1/2'

let world: World
let records: Records

beforeEach(async () => {
  world = await createWorld()
  records = await openRecords(world.databaseUrl)
  expect((await world.sealfleet(['keys', 'init'])).status).toBe(0)
})
afterEach(async () => {
  await records.close()
  await world[Symbol.asyncDispose]()
})

const inState = async (state: KeyRow['state']) =>
  (await listMasterKeys(records, { domain: 'default', state })).map(({ role, version }) => `${role} ${version}`)

/** Each version of each role once, in the token and in the records, and the second one active. */
async function expectRotatedOnce(): Promise<void> {
  expect(await inState('ACTIVE')).toEqual(['enc 2', 'sig 2'])
  expect(await inState('PENDING')).toEqual([])
  const check = await world.sealfleet(['keys', 'check', '--json'])
  expect(check.status, check.stdout.toString()).toBe(0)
  expect(check.json<{ unrecorded: string[]; keys: object[] }>()).toMatchObject({ unrecorded: [] })
  expect(check.json<{ keys: object[] }>().keys).toHaveLength(4)
}

async function goesOn(): Promise<void> {
  const again = await world.sealfleet(ROTATE)
  expect(again.status, again.stderr).toBe(0)
  await expectRotatedOnce()
}

/** A worker that says that it lives, and nothing of keys. */
async function silentWorker(): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  await client.query(
    `INSERT INTO workers (id, host, pid, version, state, concurrency, heartbeat_at, expires_at)
     VALUES ('mute', 'elsewhere', 1, '0', 'READY', 1, now(), now() + interval '1 day')`,
  )
  return {
    async [Symbol.asyncDispose]() {
      await client.query(`DELETE FROM workers WHERE id = 'mute'`)
      await client.end()
    },
  }
}

const stopped = ({ status, signal }: Ran) => [status, signal]

describe('sealfleet keys rotate that is stopped', { timeout: 240_000 }, () => {
  it('while the HSM makes a key: the key is recorded first, and the same command goes on with it', async () => {
    await using faulty = await Faulty.over({ module: world.env['SEALFLEET_PKCS11_MODULE'] ?? '' })
    await faulty.rules('C_GenerateKey delay 1500 count=1')
    await using held = await HeldTable.hold(world.databaseUrl, 'master_keys')
    const env = { ...faulty.token.env, SEALFLEET_PKCS11_MODULE: faulty.token.module }
    const command = new Stoppable(world.start([...ROTATE, '--json'], { env }))
    await until(
      async () => (await faulty.hits()) > 0,
      () => 'no key is made',
    )
    // Whether the HSM has answered by now or not: the row cannot be there yet.
    await command.stopLater('SIGINT')
    await held.release()
    const ran = await command.ended
    expect(stopped(ran)).toEqual([null, 'SIGINT'])
    const { error } = ran.json<{ error: { code: string; message: string; fix: string } }>()
    expect(error).toMatchObject({ code: 'CANCELLED', message: 'stopped by SIGINT' })
    expect(error.fix).toContain(`${ENC} stays PENDING`)
    expect(await inState('PENDING')).toEqual(['enc 2'])
    await goesOn()
    const [key] = await listMasterKeys(records, { domain: 'default', role: 'enc', state: 'ACTIVE' })
    const audit = await listAudit(records, { subjectKind: 'key', subjectId: key?.id ?? '' })
    expect(audit.map(({ action }) => action)).toEqual(['keys.generate', 'keys.activate'])
  })

  matrix(['SIGINT', 'SIGTERM'] as const, every(2))(
    'twice by %s, between the key and its row: ends at once, and the next call registers what the token holds',
    async (signal) => {
      await using held = await HeldTable.hold(world.databaseUrl, 'master_keys')
      const command = new Stoppable(world.start(ROTATE))
      await held.awaited('INSERT INTO master_keys')
      await command.stopLater(signal)
      command.kill(signal)
      expect(stopped(await command.ended)).toEqual([null, signal])
      await held.release()
      const check = (await world.sealfleet(['keys', 'check', '--json'])).json<{ unrecorded: string[] }>()
      expect(check.unrecorded).toEqual([ENC])
      await goesOn()
    },
  )

  longTest('twice, while the HSM hangs: ends at once, and leaves nothing behind that is in the way', async () => {
    await using faulty = await Faulty.over({ module: world.env['SEALFLEET_PKCS11_MODULE'] ?? '' })
    await faulty.rules('C_GenerateKey hang')
    const env = { ...faulty.token.env, SEALFLEET_PKCS11_MODULE: faulty.token.module }
    const command = new Stoppable(world.start(ROTATE, { env }))
    await until(
      async () => (await faulty.hits()) > 0,
      () => 'no key is made',
    )
    await command.stopLater('SIGINT')
    command.kill('SIGINT')
    expect(stopped(await command.ended)).toEqual([null, 'SIGINT'])
    expect(await inState('PENDING')).toEqual([])
    await goesOn()
  })

  longTest(
    'while it waits for workers: says that the versions stay PENDING, and the same command goes on with them',
    async () => {
      {
        await using _mute = await silentWorker()
        const command = new Stoppable(world.start(ROTATE))
        await command.says('waiting for 1 of 1 worker')
        command.kill('SIGTERM')
        const ran = await command.ended
        expect(stopped(ran)).toEqual([null, 'SIGTERM'])
        expect(ran.stderr).toContain('stopped by SIGTERM')
        expect(ran.stderr).toContain(`${ENC} and ${SIG} stay PENDING`)
        expect(await inState('PENDING')).toEqual(['enc 2', 'sig 2'])
      }
      await goesOn()
    },
  )

  longTest('when its turn has not come: makes nothing', async () => {
    await using held = await HeldTable.hold(world.databaseUrl, 'master_keys')
    const first = new Stoppable(world.start(ROTATE))
    await held.awaited('INSERT INTO master_keys')
    const second = new Stoppable(world.start(ROTATE))
    await held.awaited('pg_advisory_xact_lock')
    await second.stopLater('SIGINT')
    await held.release()
    const ran = await second.ended
    expect(stopped(ran)).toEqual([null, 'SIGINT'])
    expect(ran.stderr).toContain('no key was made')
    expect((await first.ended).status).toBe(0)
    await expectRotatedOnce()
  })

  longTest(
    'when it is activating: it is done to its end and says so, since the same command would rotate once more',
    async () => {
      expect((await world.sealfleet(['keys', 'rotate', '--dry-run'])).status).toBe(0)
      {
        await using _mute = await silentWorker()
        expect((await world.sealfleet([...ROTATE, '--wait', '0'])).status).toBe(1)
      }
      await using held = await HeldTable.hold(world.databaseUrl, 'master_keys')
      const command = new Stoppable(world.start([...ROTATE, '--json']))
      await held.awaited('master_keys')
      await command.stopLater('SIGINT')
      await held.release()
      const ran = await command.ended
      expect([ran.status, ran.signal]).toEqual([0, null])
      expect(ran.json()).toMatchObject({ dryRun: false, confirmedBy: [] })
      await expectRotatedOnce()
    },
  )
})

describe('sealfleet rekey that is stopped', { timeout: 120_000 }, () => {
  const REKEY = ['rekey', '--domain', 'default', '--from', '1']
  const runs = async () =>
    (await world.sealfleet(['rekey', 'status', '--json'])).json<{ runs: { id: string; state: string }[] }>().runs

  longTest('while it waits: the run goes on without it, and the same command waits for it again', async () => {
    expect((await world.sealfleet(ROTATE)).status).toBe(0)
    const command = new Stoppable(world.start([...REKEY, '--wait']))
    await command.says(/begun: run \S+, 0 files/)
    command.kill('SIGINT')
    const ran = await command.ended
    expect(stopped(ran)).toEqual([null, 'SIGINT'])
    const [run] = await runs()
    expect(run?.state).toBe('ACTIVE')
    expect(ran.stderr).toContain(`run ${run?.id} continues without this command`)
    expect(ran.stderr).toContain(`sealfleet rekey status ${run?.id}`)
    const again = new Stoppable(world.start([...REKEY, '--wait', '--json']))
    // No one hands the run out: it is there, and waited for, until it is cancelled.
    await until(
      async () => (await listAudit(records, { subjectKind: 'rekey-run', subjectId: run?.id ?? '' })).length === 2,
      () => 'it was not found open',
    )
    expect((await world.sealfleet(['rekey', 'cancel', run?.id ?? ''])).status).toBe(0)
    expect((await again.ended).json()).toMatchObject({ id: run?.id, created: false, state: 'CANCELLED' })
  })

  longTest('while it counts: begins nothing', async () => {
    expect((await world.sealfleet(ROTATE)).status).toBe(0)
    await using held = await HeldTable.hold(world.databaseUrl, 'files', 'ACCESS EXCLUSIVE')
    const command = new Stoppable(world.start([...REKEY, '--wait', '--json']))
    await held.awaited('FROM files f')
    await command.stopLater('SIGTERM')
    await held.release()
    const ran = await command.ended
    expect(stopped(ran)).toEqual([null, 'SIGTERM'])
    expect(ran.json<{ error: { fix: string } }>().error.fix).toContain('nothing was begun')
    expect(await runs()).toEqual([])
  })
})
