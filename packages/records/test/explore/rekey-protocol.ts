/** The re-encryption of one stored file: two workers, time, maintenance and an operator who removes the file. */
import { randomBytes, randomUUID } from 'node:crypto'
import { Prisma } from '../../src/generated/client.js'
import { RecordsError } from '../../src/db/errors.js'
import type { Records } from '../../src/db/records.js'
import type { ActiveKeys } from '../../src/keys/master-keys.js'
import { abandonAttempt } from '../../src/attempts/abandon-attempt.js'
import { markSwept } from '../../src/attempts/mark-swept.js'
import { listOrphanedObjects } from '../../src/attempts/orphaned-objects.js'
import { listSuperseded } from '../../src/attempts/superseded-objects.js'
import { listDeletedObjects } from '../../src/deletion/deleted-objects.js'
import { removeFile } from '../../src/deletion/remove-file.js'
import { claimRekeyItem } from '../../src/rekey/claim-rekey-item.js'
import { commitRekey } from '../../src/rekey/commit-rekey.js'
import { endRekeyItem } from '../../src/rekey/end-rekey-item.js'
import { openRekeyAttempt } from '../../src/rekey/open-rekey-attempt.js'
import { renewRekeyLease } from '../../src/rekey/renew-rekey-lease.js'
import { nonceIdOf } from '../support.js'
import type { Db, Protocol, Step } from './explore.js'
import { assertForward, assertSound, keyOf, look, type Look } from './rows.js'
import { idle, keyOfEither, known, LEASE_SECONDS, must, NEW_WORKER, ownerOf, replaced, type Worker } from './workers.js'

export interface World {
  readonly workers: readonly Worker[]
  readonly rows: Look
  readonly before: Look | undefined
}

const MOST_CLAIMS = 4

type Act = (db: Db, worker: Worker, world: World) => Promise<Worker>

export interface RekeyOf {
  readonly records: Records
  readonly fileId: string
  readonly itemId: string
  readonly domain: string
  readonly keys: ActiveKeys
}

/** Of a file that is stored under an older version, whose item has its job. */
export async function rekeyProtocol({ records, fileId, itemId, domain, keys }: RekeyOf): Promise<Protocol<World>> {
  const item = ({ items }: Look) => items[0] ?? { state: 'none', owner: null, live: false, no: null, tries: 0 }
  const owns = (worker: Worker, rows: Look): boolean => {
    const { state, owner, no } = item(rows)
    return state === 'RUNNING' && owner === ownerOf(worker) && no === worker.attemptNo
  }
  const holds = (worker: Worker, rows: Look): boolean => owns(worker, rows) && item(rows).live
  /** The committed attempt that each worker set out to replace. */
  const old = new Map<string, string>()

  const claim: Act = async (db, worker, { rows }) => {
    const mine = { ...worker, turn: worker.turn + 1 }
    const claimed = await claimRekeyItem(db, { itemId, owner: ownerOf(mine), leaseSeconds: LEASE_SECONDS })
    const { state, live } = item(rows)
    const free = rows.state === 'STORED' && (state === 'QUEUED' || (state === 'RUNNING' && !live))
    must((claimed.outcome === 'claimed') === free, `an item that is ${state} was ${claimed.outcome}`)
    if (claimed.outcome !== 'claimed') return idle(mine)
    must(claimed.attemptNo === rows.lastAttemptNo + 1, 'an attempt number was left out')
    must(claimed.oldAttemptId === rows.committedId, 'another attempt than the committed one would be replaced')
    old.set(ownerOf(mine), claimed.oldAttemptId)
    return { ...mine, phase: 'claimed', attemptNo: claimed.attemptNo }
  }
  const of = (worker: Worker) => ({
    itemId,
    fileId,
    owner: ownerOf(worker),
    attemptNo: worker.attemptNo,
    oldAttemptId: old.get(ownerOf(worker)) ?? '',
  })
  const open: Act = async (db, worker, { rows }) => {
    const attemptId = randomUUID()
    const nonces = { nonceEnc: randomBytes(32), nonceSig: randomBytes(32) }
    const ids = { nonceIdEnc: nonceIdOf(nonces.nonceEnc), nonceIdSig: nonceIdOf(nonces.nonceSig) }
    const under = { encKeyId: keys.enc.id, sigKeyId: keys.sig.id, suite: 1, segLog2: 20, bucket: 'bucket' } as const
    const objectKey = `${domain}/${fileId}/${attemptId}`
    const input = { ...of(worker), ...nonces, ...ids, ...under, attemptId, objectKey }
    const opened = await openRekeyAttempt(db, input).then(
      () => true,
      (error: unknown) => {
        if (error instanceof RecordsError && error.code === 'FENCED') return false
        throw error
      },
    )
    must(opened === (holds(worker, rows) && rows.state === 'STORED'), `opened: ${opened}`)
    return opened ? { ...worker, phase: 'opened', attemptId } : idle(worker)
  }
  const commit = async (db: Db, worker: Worker, { rows }: World): Promise<string> => {
    const { attemptId } = worker
    const object = { objectVersion: 'v2', etag: '"new"', objectLength: 451, plaintextLength: 3 }
    const tags = { htag: randomBytes(32), fmac: randomBytes(32) }
    const outcome = await commitRekey(db, { ...of(worker), ...object, ...tags, attemptId })
    const may = holds(worker, rows) && rows.state === 'STORED'
    must((outcome === 'committed') === may, `the exchange was ${outcome}`)
    return outcome
  }
  const end =
    (disposition: 'retry' | 'fail' | 'release'): Act =>
    async (db, worker, { rows }) => {
      const why = { code: 'S3_UNAVAILABLE', class: 'transient-infrastructure', message: 'x', delaySeconds: 0 }
      const outcome = await endRekeyItem(db, { ...of(worker), ...why, disposition })
      must((outcome === 'recorded') === owns(worker, rows), `the failure was ${outcome}`)
      return idle(worker)
    }

  const workerSteps = (worker: Worker, { rows }: World): readonly (readonly [string, Act])[] => {
    if (worker.phase === 'idle') return rows.lastAttemptNo < MOST_CLAIMS ? [['claims', claim]] : []
    const under: readonly (readonly [string, Act])[] = [
      [
        'renews',
        async (db, w, at) => {
          const renewed = await renewRekeyLease(db, { ...of(w), leaseSeconds: LEASE_SECONDS })
          must(renewed === holds(w, at.rows), `renewed: ${renewed}`)
          return renewed ? w : idle(w)
        },
      ],
      ['fails', end('retry')],
      ['fails for good', end('fail')],
      ['gives back', end('release')],
      ['dies', (_db, dying) => Promise.resolve(idle(dying))],
    ]
    if (worker.phase === 'claimed') return [['opens', open], ...under]
    return [
      ['commits', async (db, w, at) => (await commit(db, w, at), idle(w))],
      ['commits without hearing of it', async (db, w, at) => ({ ...w, lost: await commit(db, w, at) })],
      ...under,
    ]
  }

  const others = ({ rows }: World): readonly (readonly [string, (db: Db) => Promise<unknown>])[] => [
    ...(item(rows).live ? [['the lease runs out', (db: Db) => expire(db, itemId)] as const] : []),
    ...rows.attempts
      .filter(({ state }) => state === 'OPEN')
      .map(
        ({ id, no }) =>
          [
            `maintenance looks at attempt ${no}`,
            async (db: Db) => {
              const covered = item(rows).live && item(rows).no === no
              must((await abandonAttempt(db, id)) === !covered, 'abandoned under a live lease, or not without one')
            },
          ] as const,
      ),
    ['maintenance sweeps', sweep],
    ...(rows.state === 'STORED'
      ? [
          [
            'an operator removes',
            (db: Db) => removeFile(db as unknown as Records, { fileId, actor: 'x', reason: 'x' }),
          ] as const,
        ]
      : []),
  ]

  const start = await records.transaction(async (tx) => look(tx as Db, fileId))
  const after = async (db: Db, at: World, workers: readonly Worker[]): Promise<World> => ({
    workers,
    before: at.rows,
    rows: await look(db, fileId),
  })
  return {
    start: { workers: ['A', 'B'].map((name) => ({ ...NEW_WORKER, name })), rows: start, before: undefined },
    steps: (world) => [
      ...world.workers.flatMap((worker) =>
        workerSteps(worker, world).map(([name, act]): Step<World> => ({
          name: `${worker.name} ${name}`,
          run: async (db, at) => after(db, at, replaced(at.workers, await act(db, worker, at))),
        })),
      ),
      ...others(world).map(([name, act]): Step<World> => ({
        name,
        run: async (db, at) => {
          await act(db)
          return after(db, at, at.workers)
        },
      })),
    ],
    key: (_db, { workers, rows }) =>
      Promise.resolve(keyOfEither(workers, (both) => JSON.stringify([keyOf(rows), both.map(known)]))),
    check: (_db, { rows, before }) => {
      assertSound(rows)
      if (before === undefined) return Promise.resolve()
      assertForward(before, rows)
      must(rows.state === 'STORED' || rows.state === 'DELETED', `a file under re-encryption is ${rows.state}`)
      return Promise.resolve()
    },
  }
}

async function expire(db: Db, itemId: string): Promise<void> {
  await db.query(Prisma.sql`
    UPDATE rekey_items SET lease_expires_at = clock_timestamp() - interval '2 ms' WHERE id = ${itemId}::uuid RETURNING id`)
}

async function sweep(db: Db): Promise<void> {
  const page = { graceSeconds: 0, limit: 100 }
  const found = [
    ...(await listOrphanedObjects(db, page)),
    ...(await listSuperseded(db, page)),
    ...(await listDeletedObjects(db, page)),
  ]
  for (const { attemptId, kept } of found) must(kept?.attemptId !== attemptId, 'the committed object would be removed')
  await markSwept(
    db,
    found.map(({ attemptId }) => attemptId),
  )
}
