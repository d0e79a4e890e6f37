import type { Queryable, Records } from '@sealfleet/records'

/** The records; with `dryRun`, records that check everything and roll every transaction back. */
export function dryRunIf(dryRun: boolean | undefined, records: Records): Records {
  return dryRun === true ? records.rehearsal() : records
}

/** Runs `deed` in one transaction. With `dryRun` it is rolled back at the end: all is checked, nothing changes. */
export function inTransaction<T>(
  records: Records,
  dryRun: boolean | undefined,
  deed: (tx: Queryable) => Promise<T>,
): Promise<T> {
  return dryRunIf(dryRun, records).transaction(deed)
}
