import { cp, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { fileBalance, getFile, listFailures } from '@sealfleet/records/files'
import { createMetrics } from '@sealfleet/telemetry'
import { Faulty, type FreshToken, longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'

const FILES = 20

interface Line {
  readonly msg: string
  readonly port?: number
  readonly breaker?: string
  readonly hsmToken?: string
  readonly sessions?: number
  readonly wanted?: number
  readonly limit?: number
}

/** What a vendor's cloning makes: another SoftHSM with the very keys of this one. Returns its configuration's path. */
async function cloneOf(token: FreshToken): Promise<string> {
  await cp(path.join(token.dir, 'tokens'), path.join(token.dir, 'clone'), { recursive: true })
  const conf = path.join(token.dir, 'clone.conf')
  const text = await readFile(token.env.SOFTHSM2_CONF, 'utf8')
  await writeFile(conf, text.replace(path.join(token.dir, 'tokens'), path.join(token.dir, 'clone')))
  return conf
}

async function enqueue(fleet: Fleet, name: string, count = FILES): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `${name}/${i}`)
  for (const one of names) await fleet.writeSource(one, one)
  const results = await fleet.producer.client.enqueueMany(names.map((one) => ({ root: 'in', path: one })))
  return results.map(({ fileId }) => fileId ?? '')
}

const linesOf = (fleet: Fleet, from = 0) => fleet.logs.slice(from).map((line) => JSON.parse(line) as Line)

async function metricsOf(fleet: Fleet, from = 0): Promise<string> {
  const port = linesOf(fleet, from).find(({ msg }) => msg === 'health and metrics')?.port
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
}

function valueOf(text: string, series: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`sealfleet_${series} `))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

describe('a worker with two tokens that hold the same keys', () => {
  let fleet: Fleet
  let away: string
  let tokens: string
  let env: NodeJS.ProcessEnv

  beforeAll(async () => {
    fleet = await startFleet()
    tokens = path.join(fleet.token.dir, 'tokens')
    away = `${tokens}-away`
    const { label, pinFile } = fleet.token
    const conf = await cloneOf(fleet.token)
    env = {
      SEALFLEET_PKCS11_SECONDARIES: `token=${label},pin-file=${pinFile},env.SOFTHSM2_CONF=${conf}`,
      SEALFLEET_WORKER_PORT: '0',
      SEALFLEET_CONCURRENCY: '4',
    }
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  async function expectUntouched(ids: readonly string[]): Promise<void> {
    const states = await fleet.settled(ids)
    expect(ids.map((id) => states.get(id)?.state)).toEqual(ids.map(() => 'STORED'))
    const failures = await Promise.all(ids.map((id) => listFailures(fleet.records, id)))
    expect(failures.flat()).toEqual([])
    const attempts = await Promise.all(ids.map((id) => getFile(fleet.records, id)))
    expect(attempts.map((found) => found?.committed?.attemptNo)).toEqual(ids.map(() => 1))
    expect(await fileBalance(fleet.records)).toMatchObject({ difference: 0 })
  }

  test('goes on sealing while the primary is away: every file at its first attempt, and the breaker stays closed', async () => {
    await using _worker = await fleet.startWorker({ env })
    await expectUntouched(await enqueue(fleet, 'before'))
    const before = await metricsOf(fleet)
    expect(valueOf(before, 'hsm_token_serving{token="primary"}')).toBe(1)
    expect(valueOf(before, 'hsm_token_usable{token="secondary-1"}')).toBe(1)
    const ids = await enqueue(fleet, 'during')
    await rename(tokens, away)
    await expectUntouched([...ids, ...(await enqueue(fleet, 'after'))])
    const during = await metricsOf(fleet)
    expect(valueOf(during, 'hsm_token_serving{token="primary"}')).toBe(0)
    expect(valueOf(during, 'hsm_token_serving{token="secondary-1"}')).toBe(1)
    expect(valueOf(during, 'breaker_openings_total{dependency="hsm",code="HSM_UNAVAILABLE"}')).toBeUndefined()
    expect(during).toMatch(/sealfleet_hsm_failovers_total\{token="secondary-1",reason="(agents|breaker)"\} 1/)
    const said = linesOf(fleet).filter(({ msg }) => msg.startsWith('another HSM token serves'))
    expect(said).toMatchObject([{ hsmToken: 'secondary-1' }])
    await rename(away, tokens)
  })

  longTest(
    'goes back to the primary when it is well again, under load: every file at its first attempt',
    { timeout: 240_000 },
    async () => {
      const from = fleet.logs.length
      await using _worker = await fleet.startWorker({ env })
      await expectUntouched(await enqueue(fleet, 'well'))
      await rename(tokens, away)
      const served = async (token: string) =>
        valueOf(await metricsOf(fleet, from), `hsm_token_serving{token="${token}"}`)
      const ids: string[] = []
      // Always two files under way, and no backlog: what is asked for after the return is not sealed before it.
      const loadUntil = async (token: string) => {
        do {
          const wave = await enqueue(fleet, `until-${token}-${ids.length}`, 2)
          await fleet.settled(wave)
          ids.push(...wave)
        } while ((await served(token)) !== 1)
      }
      await loadUntil('secondary-1')
      await rename(away, tokens)
      await loadUntil('primary')
      await expectUntouched(ids)
      const counted = await metricsOf(fleet, from)
      expect(counted).toContain('sealfleet_hsm_failovers_total{token="primary",reason="returned"} 1')
      expect(linesOf(fleet, from)).toContainEqual(
        expect.objectContaining({ hsmToken: 'primary', msg: 'the preferred HSM token serves again' }),
      )
      // It serves: sealing continues there, and on two agents again. One derives, the other derives and gives the key's known answer.
      const answered = (text: string): (number | undefined)[] =>
        ['hmac', 'sealing'].map((operation) =>
          valueOf(text, `hsm_operations_total{operation="${operation}",role="enc",outcome="ok",token="primary"}`),
        )
      const before = answered(counted)
      await expectUntouched(await enqueue(fleet, 'returned'))
      const after = await metricsOf(fleet, from)
      expect(answered(after).map((count, at) => (count ?? 0) - (before[at] ?? 0))).toEqual([FILES, FILES])
      expect(valueOf(after, 'breaker_openings_total{dependency="hsm",code="HSM_UNAVAILABLE"}')).toBeUndefined()
    },
  )

  longTest('starts and seals though the primary is absent', async () => {
    const from = fleet.logs.length
    await rename(tokens, away)
    await using _worker = await fleet.startWorker({ env })
    await expectUntouched(await enqueue(fleet, 'absent'))
    expect(await metricsOf(fleet, from)).toContain(
      'sealfleet_hsm_failovers_total{token="secondary-1",reason="start"} 1',
    )
    await rename(away, tokens)
  })

  test('shows every metric of the HSM with its help, and the documents name each', async () => {
    const from = fleet.logs.length
    await using _worker = await fleet.startWorker({ env })
    const [first = ''] = await enqueue(fleet, 'metrics')
    await fleet.settled([first])
    const ready = 'hsm_agents{token="primary",state="ready"}'
    await expect.poll(async () => valueOf(await metricsOf(fleet, from), ready), { timeout: 60_000 }).toBe(2)
    const text = await metricsOf(fleet, from)
    const docs = await readFile(new URL('../../../docs/reference/metrics.md', import.meta.url), 'utf8')
    const all = await createMetrics({ processMetrics: false }).registry.getMetricsAsJSON()
    const names = all.flatMap(({ name }) => (name.startsWith('sealfleet_hsm_') ? [name] : []))
    expect(names.length).toBeGreaterThan(20)
    for (const name of names) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, 'm'))
      expect(docs).toContain(`\`${name}\``)
    }
    for (const role of ['enc', 'sig']) {
      expect(valueOf(text, `hsm_operation_duration_seconds_count{operation="hmac",role="${role}"}`)).toBeGreaterThan(0)
      expect(valueOf(text, `hsm_queue_duration_seconds_count{role="${role}"}`)).toBeGreaterThan(0)
    }
    expect(valueOf(text, 'hsm_logins_total{token="primary",outcome="accepted"}')).toBe(2)
    expect(valueOf(text, 'hsm_logins_total{token="secondary-1",outcome="accepted"}')).toBe(1)
    expect(valueOf(text, 'hsm_breaker{token="primary",state="closed"}')).toBe(1)
    expect(valueOf(text, 'hsm_sessions_wanted{token="primary"}')).toBe(8)
    const checked = ['pending', 'ok'].map((state) =>
      valueOf(text, `hsm_check_values{token="primary",state="${state}"}`),
    )
    expect(checked.reduce((sum, n) => (sum ?? 0) + (n ?? 0), 0)).toBe(2)
    expect(valueOf(text, 'hsm_probe_age_seconds{token="primary"}')).toBeGreaterThanOrEqual(0)
  })
})

describe('a token that gives fewer sessions than a worker wants', () => {
  longTest('the worker says so at its start, and seals with what opened', async () => {
    await using fleet = await startFleet()
    await using faulty = await Faulty.over(tokenOptions(fleet.token))
    await faulty.rules('C_OpenSession return 0xb1 skip=3')
    const env = {
      SEALFLEET_PKCS11_MODULE: faulty.token.module,
      SEALFLEET_HSM_AGENTS: '1',
      SEALFLEET_WORKER_PORT: '0',
    }
    await using _worker = await fleet.startWorker({ env, moduleEnv: faulty.token.env ?? {} })
    const said = linesOf(fleet).filter(({ msg }) => msg.startsWith('the token gives no more sessions'))
    expect(said).toMatchObject([{ sessions: 2, wanted: 4, hsmToken: 'primary' }])
    const states = await fleet.settled(await enqueue(fleet, 'few'))
    expect(new Set([...states.values()].map(({ state }) => state))).toEqual(new Set(['STORED']))
    const text = await metricsOf(fleet)
    expect(valueOf(text, 'hsm_session_shortages_total{token="primary",reason="refused"}')).toBe(1)
    expect(valueOf(text, 'hsm_sessions_wanted{token="primary"}')).toBe(4)
    await expect
      .poll(async () => {
        const now = await metricsOf(fleet)
        return ['idle', 'leased'].map((state) => valueOf(now, `hsm_sessions{token="primary",state="${state}"}`))
      })
      .toEqual([2, 0])
  })
  longTest('by its own word: the worker says so at its start, whether or not it is refused any', async () => {
    await using fleet = await startFleet()
    await using faulty = await Faulty.over(tokenOptions(fleet.token))
    const env = {
      SEALFLEET_PKCS11_MODULE: faulty.token.module,
      SEALFLEET_HSM_AGENTS: '1',
      SEALFLEET_WORKER_PORT: '0',
    }
    const moduleEnv = { ...faulty.token.env, FAULTY_MAX_SESSIONS: '4' }
    await using _worker = await fleet.startWorker({ env, moduleEnv })
    const said = linesOf(fleet).filter(({ msg }) => msg.startsWith('more sessions are configured than the token says'))
    expect(said).toMatchObject([{ wanted: 5, limit: 4, hsmToken: 'primary' }])
    const text = await metricsOf(fleet)
    expect(valueOf(text, 'hsm_session_shortages_total{token="primary",reason="limit"}')).toBe(1)
    expect(valueOf(text, 'hsm_session_shortages_total{token="primary",reason="refused"}')).toBeUndefined()
  })
})
