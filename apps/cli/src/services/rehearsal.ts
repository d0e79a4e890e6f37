import type { Queryable, Records } from '@sealfleet/records'

/** Carries a result out of a transaction that is to be rolled back. */
class Rehearsed<T> extends Error {
  override readonly name = 'Rehearsed'
  readonly result: T

  constructor(result: T) {
    super('a rehearsal is rolled back')
    this.result = result
  }
}

/** Runs `deed` in one transaction. With `dryRun` it is rolled back at its end: everything was checked, and nothing happened. */
export async function inTransaction<T>(
  records: Records,
  dryRun: boolean,
  deed: (tx: Queryable) => Promise<T>,
): Promise<T> {
  try {
    return await records.transaction(async (tx) => {
      const result = await deed(tx)
      if (dryRun) throw new Rehearsed(result)
      return result
    })
  } catch (error) {
    if (error instanceof Rehearsed) return error.result as T
    throw error
  }
}
