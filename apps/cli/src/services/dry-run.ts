import type { Queryable, Records } from '@sealfleet/records'

/** The records, or with `dryRun` their rehearsal: everything is checked, and every transaction is rolled back. */
export function dryRunIf(dryRun: boolean | undefined, records: Records): Records {
  return dryRun === true ? records.rehearsal() : records
}

/** Runs `deed` in one transaction. With `dryRun` it is rolled back at its end: everything was checked, and nothing happened. */
export function inTransaction<T>(
  records: Records,
  dryRun: boolean | undefined,
  deed: (tx: Queryable) => Promise<T>,
): Promise<T> {
  return dryRunIf(dryRun, records).transaction(deed)
}
