/**
 * Explores a protocol on the real database. Each of its statements is atomic, so whatever processes do at once is some
 * order of their statements. From a first state this runs every step that any process could do next, then every step
 * after that, to a depth; a savepoint goes back to where the steps parted. A state that was seen with as many steps
 * left is not explored again.
 */
import { Prisma } from '../../src/generated/client.js'
import type { Queryable, Records } from '../../src/db/records.js'

/** One connection in one transaction. `transaction` nests, as a savepoint. */
export type Db = Queryable & Pick<Records, 'transaction'>

export interface Step<World> {
  readonly name: string
  /** Does it, and says what the processes know afterwards. */
  run(db: Db, world: World): Promise<World>
}

export interface Protocol<World> {
  readonly start: World
  /** What could happen next. */
  steps(world: World): readonly Step<World>[]
  /** What distinguishes this state from others: rows without ids, times and random bytes, and what processes know. */
  key(db: Db, world: World): Promise<string>
  /** @throws what is wrong after a step */
  check(db: Db, world: World): Promise<void>
}

export interface Explored {
  readonly states: number
  readonly transitions: number
  /** How often each step was done. */
  readonly steps: ReadonlyMap<string, number>
}

/** A planted fault: the text of a statement before and after. */
export type Fault = readonly [from: string, to: string]

/**
 * @param depth steps from the first state
 * @throws Error with the steps that led to what is wrong
 */
export function explore<World>(
  records: Records,
  protocol: Protocol<World>,
  { depth, fault }: { depth: number; fault?: Fault },
): Promise<Explored> {
  return inOneTransaction(records, fault, async (db) => {
    const seen = new Map<string, number>()
    const steps = new Map<string, number>()
    let transitions = 0

    const visit = async (world: World, left: number, path: readonly string[]): Promise<void> => {
      for (const step of protocol.steps(world)) {
        const done = [...path, step.name]
        transitions += 1
        steps.set(step.name, (steps.get(step.name) ?? 0) + 1)
        await rolledBack(db, left, async () => {
          const after = await told(done, async () => {
            const next = await step.run(db, world)
            await db.query(Prisma.sql`SET CONSTRAINTS ALL IMMEDIATE`)
            await protocol.check(db, next)
            return next
          })
          const key = await protocol.key(db, after)
          if ((seen.get(key) ?? -1) >= left - 1) return
          seen.set(key, left - 1)
          if (left > 1) await visit(after, left - 1, done)
        })
      }
    }
    seen.set(await protocol.key(db, protocol.start), depth)
    await visit(protocol.start, depth, [])
    return { states: seen.size, transitions, steps }
  })
}

async function told<T>(path: readonly string[], run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    throw new Error(`${path.join(' → ')}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** Everything is rolled back at the end: the next exploration begins where this one did. */
class Done<T> extends Error {
  readonly result: T
  constructor(result: T) {
    super('explored')
    this.result = result
  }
}

async function inOneTransaction<T>(
  records: Records,
  fault: Fault | undefined,
  run: (db: Db) => Promise<T>,
): Promise<T> {
  let planted = 0
  const plant = (sql: Prisma.Sql): Prisma.Sql => {
    if (fault === undefined) return sql
    const [from, to] = fault
    const strings = sql.strings.map((text) => text.replace(from, to))
    if (strings.every((text, place) => text === sql.strings[place])) return sql
    planted += 1
    return new Prisma.Sql(strings, sql.values)
  }
  try {
    await records.transaction(
      async (tx): Promise<never> => {
        let nested = 0
        const db: Db = {
          query: (sql) => tx.query(plant(sql)),
          read: (read) => tx.read(read),
          transaction: async (inner) => {
            const name = Prisma.raw(`inner_${(nested += 1)}`)
            await tx.query(Prisma.sql`SAVEPOINT ${name}`)
            try {
              return await inner(db)
            } catch (error) {
              await tx.query(Prisma.sql`ROLLBACK TO SAVEPOINT ${name}`)
              throw error
            } finally {
              await tx.query(Prisma.sql`RELEASE SAVEPOINT ${name}`)
            }
          },
        }
        throw new Done(await run(db))
      },
      { timeoutMs: 1_800_000 },
    )
  } catch (error) {
    if (fault !== undefined && planted === 0) throw new Error(`no statement has ${fault[0]}`, { cause: error })
    if (error instanceof Done) return error.result as T
    throw error
  }
  throw new Error('an exploration is rolled back')
}

async function rolledBack(db: Db, depth: number, run: () => Promise<void>): Promise<void> {
  const name = Prisma.raw(`step_${depth}`)
  await db.query(Prisma.sql`SAVEPOINT ${name}`)
  await run()
  await db.query(Prisma.sql`ROLLBACK TO SAVEPOINT ${name}`)
  await db.query(Prisma.sql`RELEASE SAVEPOINT ${name}`)
}
