/** The life of one file from its acceptance: two workers, time, maintenance and a person on call. */
import { randomBytes, randomUUID } from 'node:crypto'
import { Prisma } from '../../src/generated/client.js'
import { RecordsError } from '../../src/db/errors.js'
import { abandonAttempt } from '../../src/attempts/abandon-attempt.js'
import { commitAttempt } from '../../src/attempts/commit-attempt.js'
import { failAttempt } from '../../src/attempts/fail-attempt.js'
import { markSwept } from '../../src/attempts/mark-swept.js'
import { openAttempt } from '../../src/attempts/open-attempt.js'
import { listOrphanedObjects } from '../../src/attempts/orphaned-objects.js'
import { renewLease } from '../../src/attempts/renew-lease.js'
import { claimFile } from '../../src/files/claim-file.js'
import { discardDeadLetter, replayDeadLetter } from '../../src/files/resolve-dead-letter.js'
import { listDeletedObjects } from '../../src/deletion/deleted-objects.js'
import { removeFile } from '../../src/deletion/remove-file.js'
import type { Records } from '../../src/db/records.js'
import { attempt, commitOf, request, type Fixture } from '../support.js'
import type { Db, Protocol, Step } from './explore.js'
import { assertForward, assertSound, keyOf, look, type Look } from './rows.js'
import { idle, keyOfEither, known, LEASE_SECONDS, must, NEW_WORKER, ownerOf, replaced, type Worker } from './workers.js'

export interface World {
  readonly workers: readonly Worker[]
  /** The rows after the last step. */
  readonly rows: Look
  /** The rows before it; undefined at the start. */
  readonly before: Look | undefined
}

/** Claims and generations of one file that are explored. */
const MOST_CLAIMS = 3
const MOST_GENERATIONS = 2

type Act = (db: Db, worker: Worker, world: World) => Promise<Worker>

/** @param fileId accepted, and not claimed yet */
export async function ingestProtocol(f: Fixture, fileId: string, fingerprint: Buffer): Promise<Protocol<World>> {
  const asked = request({ fileId, fingerprint })

  const claim: Act = async (db, worker, { rows }) => {
    const mine = { ...worker, turn: worker.turn + 1 }
    const claimed = await claimFile(db, {
      ...asked,
      generation: rows.generation,
      owner: ownerOf(mine),
      leaseSeconds: LEASE_SECONDS,
    })
    const free = rows.state === 'QUEUED' || (rows.state === 'RUNNING' && !rows.live)
    must((claimed.outcome === 'claimed') === free, `a file that is ${rows.state} was ${claimed.outcome}`)
    if (claimed.outcome !== 'claimed') return idle(mine)
    must(claimed.attemptNo === rows.lastAttemptNo + 1, 'an attempt number was left out')
    return { ...mine, phase: 'claimed', attemptNo: claimed.attemptNo }
  }
  const open: Act = async (db, worker, { rows }) => {
    const input = attempt(f, { fileId, owner: ownerOf(worker) }, { attemptNo: worker.attemptNo })
    const opened = await unlessFenced(() => openAttempt(db, input))
    must(opened === holds(worker, rows), `opened: ${opened}`)
    return opened ? { ...worker, phase: 'opened', attemptId: input.attemptId } : idle(worker)
  }
  const commit = async (db: Db, worker: Worker, { rows }: World): Promise<string> => {
    const { attemptId } = worker
    const input = commitOf({ ...attempt(f, { fileId, owner: ownerOf(worker) }), attemptId })
    const outcome = await commitAttempt(db, input)
    // An attempt that maintenance abandoned had no lease.
    const mayCommit = holds(worker, rows)
    must((outcome === 'committed') === mayCommit, `the commit was ${outcome}`)
    const won = rows.committedId === attemptId && rows.state === 'STORED'
    must((outcome === 'already') === won, `the commit was ${outcome}`)
    return outcome
  }
  const fail =
    (disposition: 'retry' | 'dead' | 'release'): Act =>
    async (db, worker, { rows }) => {
      const { attemptNo } = worker
      const input = { fileId, owner: ownerOf(worker), attemptNo, disposition, message: 'x' } as const
      const outcome = await failAttempt(db, { ...input, code: 'S3_UNAVAILABLE', class: 'transient-infrastructure' })
      // Its lease may have run out, as long as no other has the file.
      must((outcome === 'recorded') === owns(worker, rows), `the failure was ${outcome}`)
      return idle(worker)
    }

  const workerSteps = (worker: Worker, world: World): readonly (readonly [string, Act])[] => {
    if (worker.phase === 'idle') return world.rows.lastAttemptNo < MOST_CLAIMS ? [['claims', claim]] : []
    const under: readonly (readonly [string, Act])[] = [
      [
        'renews',
        async (db, { attemptNo }, { rows }) => {
          const renewed = await renewLease(db, {
            fileId,
            owner: ownerOf(worker),
            attemptNo,
            leaseSeconds: LEASE_SECONDS,
          })
          must(renewed === holds(worker, rows), `renewed: ${renewed}`)
          return renewed ? worker : idle(worker)
        },
      ],
      ['fails', fail('retry')],
      ['fails for good', fail('dead')],
      ['gives back', fail('release')],
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
    ...(rows.live ? [['the lease runs out', (db: Db) => expire(db, fileId)] as const] : []),
    ...rows.attempts
      .filter(({ state }) => state === 'OPEN')
      .map(
        ({ id, no, owner }) =>
          [
            `maintenance looks at attempt ${no}`,
            async (db: Db) => {
              const covered = rows.state === 'RUNNING' && rows.live && rows.lastAttemptNo === no && rows.owner === owner
              must((await abandonAttempt(db, id)) === !covered, 'abandoned under a live lease, or not without one')
            },
          ] as const,
      ),
    ['maintenance sweeps', sweep],
    ...rows.letters
      .filter(({ state }) => state === 'OPEN')
      .flatMap(
        ({ id }) =>
          [
            ...(rows.generation < MOST_GENERATIONS
              ? [['on-call replays', (db: Db) => replayDeadLetter(db, { id, actor: 'x' })] as const]
              : []),
            ['on-call discards', (db: Db) => discardDeadLetter(db, { id, actor: 'x', reason: 'x' })],
          ] as const,
      ),
    ...(rows.state === 'STORED'
      ? [
          [
            'an operator removes',
            // Records beside their transaction: all that it uses.
            (db: Db) => removeFile(db as unknown as Records, { fileId, actor: 'x', reason: 'x' }),
          ] as const,
        ]
      : []),
  ]

  const start = await f.records.transaction(async (tx) => look(tx as Db, fileId))
  return {
    start: { workers: ['A', 'B'].map((name) => ({ ...NEW_WORKER, name })), rows: start, before: undefined },
    steps: (world) => [
      ...world.workers.flatMap((worker) =>
        workerSteps(worker, world).map(([name, act]): Step<World> => ({
          name: `${worker.name} ${name}`,
          run: async (db, at) => {
            const workers = replaced(at.workers, await act(db, worker, at))
            return { workers, before: at.rows, rows: await look(db, fileId) }
          },
        })),
      ),
      ...others(world).map(([name, act]): Step<World> => ({
        name,
        run: async (db, at) => {
          await act(db)
          return { ...at, before: at.rows, rows: await look(db, fileId) }
        },
      })),
    ],
    key: (_db, { workers, rows }) =>
      Promise.resolve(keyOfEither(workers, (both) => JSON.stringify([keyOf(rows), both.map(known)]))),
    check: (_db, { rows, before }) => {
      assertSound(rows)
      if (before !== undefined) assertForward(before, rows)
      // One file is stored once: its committed attempt stays.
      if (before !== undefined && before.committedId !== null)
        must(rows.committedId === before.committedId, 'another attempt took the committed one’s place')
      return Promise.resolve()
    },
  }

  function owns(worker: Worker, rows: Look): boolean {
    return rows.state === 'RUNNING' && rows.owner === ownerOf(worker) && rows.lastAttemptNo === worker.attemptNo
  }

  function holds(worker: Worker, rows: Look): boolean {
    return owns(worker, rows) && rows.live
  }
}

async function unlessFenced(run: () => Promise<void>): Promise<boolean> {
  try {
    await run()
    return true
  } catch (error) {
    if (error instanceof RecordsError && error.code === 'FENCED') return false
    throw error
  }
}

async function expire(db: Db, fileId: string): Promise<void> {
  await db.query(Prisma.sql`
    UPDATE files SET lease_expires_at = clock_timestamp() - interval '2 ms' WHERE id = ${fileId}::uuid RETURNING id`)
}

/** What the store would lose: never the only copy of a file that may still be stored from it. */
async function sweep(db: Db): Promise<void> {
  const page = { graceSeconds: 0, limit: 100 }
  const orphans = await listOrphanedObjects(db, page)
  const deleted = await listDeletedObjects(db, page)
  for (const { attemptId, kept } of orphans)
    must(kept?.attemptId !== attemptId, 'the committed object would be removed')
  await markSwept(
    db,
    [...orphans, ...deleted].map(({ attemptId }) => attemptId),
  )
}

export const newFile = () => ({ fileId: randomUUID(), fingerprint: randomBytes(32) })
