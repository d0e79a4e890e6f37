import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { activeKeys } from '../src/keys/master-keys.js'
import { explore, type Explored, type Fault } from './explore/explore.js'
import { ingestProtocol, newFile } from './explore/ingest-protocol.js'
import { rekeyProtocol } from './explore/rekey-protocol.js'
import { domainOfItsOwn, domain, f as rekeying, rotate, seeded, start, stored } from './rekeying.js'
import { acceptFile, openFixture, request, type Fixture } from './support.js'

/** Steps from the start. */
const SHORT = 4
const LONG = 7

function told({ states, transitions, steps }: Explored, depth: number): void {
  const kinds = [...steps].map(([name, count]) => `${name} ${count}`).toSorted()
  console.log(`to a depth of ${depth}: ${states} states, ${transitions} transitions\n  ${kinds.join('\n  ')}`)
}

describe('every order of the statements of two workers, time, maintenance and people', () => {
  let f: Fixture
  beforeAll(async () => {
    f = await openFixture()
  })
  afterAll(() => f?.[Symbol.asyncDispose]())

  async function accepted() {
    const file = newFile()
    await acceptFile(f.records, request(file))
    return ingestProtocol(f, file.fileId, file.fingerprint)
  }

  test(`stores a file once, to a depth of ${SHORT} steps`, async () => {
    const explored = await explore(f.records, await accepted(), { depth: SHORT })
    told(explored, SHORT)
    expect(explored.states).toBeGreaterThan(50)
    for (const step of ['A commits', 'B claims', 'the lease runs out', 'on-call replays', 'maintenance sweeps'])
      expect(explored.steps.get(step) ?? 0).toBeGreaterThan(0)
  })

  longTest(`stores a file once, to a depth of ${LONG} steps`, { timeout: 900_000 }, async () => {
    told(await explore(f.records, await accepted(), { depth: LONG }), LONG)
  })

  /** One condition of a statement left out or turned round, and what the exploration says of it. */
  const FAULTS: readonly (readonly [string, number, found: string, ...Fault])[] = [
    [
      'a claim that takes a file under a live lease',
      3,
      '→ B claims: a file that is RUNNING was claimed',
      `f.state = 'RUNNING' AND f.lease_expires_at <= clock_timestamp()`,
      `f.state = 'RUNNING'`,
    ],
    [
      'a commit after the lease has run out',
      4,
      'the lease runs out → A commits: the commit was committed',
      `AND f.lease_expires_at > clock_timestamp() AND a.id = `,
      `AND a.id = `,
    ],
    [
      'an attempt that is opened after the lease has run out',
      3,
      'the lease runs out → A opens: opened: true',
      `::int AND lease_expires_at > clock_timestamp()`,
      `::int`,
    ],
    [
      'maintenance that abandons an attempt at work',
      3,
      'maintenance looks at attempt 1: abandoned under a live lease',
      `.lease_expires_at > clock_timestamp())
    OR EXISTS`,
      `.lease_expires_at < clock_timestamp())
    OR EXISTS`,
    ],
    [
      'a sweep that takes the committed object',
      5,
      'maintenance sweeps: the committed object would be removed',
      `a.state IN ('ABANDONED', 'FAILED') AND f.state IN ('STORED',`,
      `f.state IN ('STORED',`,
    ],
  ]
  test.each(FAULTS)('finds %s', async (_name, depth, found, from, to) => {
    await expect(explore(f.records, await accepted(), { depth, fault: [from, to] })).rejects.toThrow(found)
  })
})

describe('every order of the statements of a re-encryption', () => {
  domainOfItsOwn()

  async function underRun() {
    const { fileId } = await stored()
    await rotate(2)
    const { id: runId } = await start()
    const [item] = await seeded(runId)
    if (item === undefined) throw new Error('the run has no item')
    const keys = await activeKeys(rekeying.records, domain)
    return rekeyProtocol({ records: rekeying.records, fileId, itemId: item.id, domain, keys })
  }

  test(`keeps the file stored, by one attempt, to a depth of ${SHORT} steps`, async () => {
    const explored = await explore(rekeying.records, await underRun(), { depth: SHORT })
    told(explored, SHORT)
    expect(explored.states).toBeGreaterThan(50)
  })

  longTest(`keeps the file stored, by one attempt, to a depth of ${LONG} steps`, { timeout: 900_000 }, async () => {
    told(await explore(rekeying.records, await underRun(), { depth: LONG }), LONG)
  })

  test.each<[string, number, found: string, ...Fault]>([
    [
      'an exchange after the lease has run out',
      4,
      'the lease runs out → A commits: the exchange was committed',
      `AND i.lease_expires_at > clock_timestamp() AND f.id = `,
      `AND f.id = `,
    ],
  ])('finds %s', async (_name, depth, found, from, to) => {
    await expect(explore(rekeying.records, await underRun(), { depth, fault: [from, to] })).rejects.toThrow(found)
  })
})
