import { getFleet } from '@sealfleet/records/fleet'
import type { Records } from '@sealfleet/records'
import { StoreError, type Store } from '@sealfleet/store'

/**
 * The object whose metadata names the bucket's fleet. It is not a file: sweeps, scans and recovery leave it alone.
 * Objects never overwrite each other, so two fleets in one bucket lose no data. But each would see the other's objects
 * as unknown, keep its checkpoints beside the other's, and depend on settings of a bucket that is not its own.
 */
export const FLEET_MARK = '.sealfleet/fleet'
const OWNER = 'sealfleet-fleet'
const BODY = Buffer.from('The fleet whose id is in the metadata of this object keeps its files in this bucket.\n')

/** Thrown when the bucket belongs to another fleet. The code is one of the closed list (packages/queue). */
class FleetMismatchError extends Error {
  override readonly name = 'FleetMismatchError'
  readonly code = 'FLEET_MISMATCH'
  readonly fix = 'Give this fleet a bucket of its own, or correct SEALFLEET_S3_BUCKET or SEALFLEET_DATABASE_URL.'

  constructor(bucket: string, owner: string, fleet: string) {
    super(`bucket ${bucket} belongs to fleet ${owner}, and this is fleet ${fleet}`)
  }
}

interface Cancellable {
  readonly signal?: AbortSignal | undefined
}

/** The fleet that the mark names; undefined: there is no mark. @throws StoreError */
export async function ownerOfBucket(store: Store, options: Cancellable = {}): Promise<string | undefined> {
  try {
    const { metadata } = await store.head(FLEET_MARK, request(options))
    return metadata[OWNER] ?? 'that left no id'
  } catch (error) {
    if (isCode(error, 'S3_NO_SUCH_OBJECT')) return undefined
    throw error
  }
}

/** Claims the bucket for this fleet if it is unclaimed. @throws FleetMismatchError when it is another's; StoreError */
export async function claimBucket(store: Store, fleet: string, options: Cancellable = {}): Promise<void> {
  const owner = await ownerOfBucket(store, options)
  if (owner === fleet) return
  if (owner === undefined) {
    try {
      await write(store, fleet, { ...options, replace: false })
    } catch (error) {
      // Another process was faster; the second look shows whose.
      if (!isCode(error, 'S3_OBJECT_EXISTS')) throw error
    }
  }
  await assertBucketIsOurs(store, fleet, options)
}

/** As `claimBucket`, without writing: for commands that only read. */
export async function assertBucketIsOurs(store: Store, fleet: string, options: Cancellable = {}): Promise<void> {
  const owner = await ownerOfBucket(store, options)
  if (owner !== undefined && owner !== fleet) throw new FleetMismatchError(store.bucket, owner, fleet)
}

/** Used before deletions and before writing audit copies: the bucket must not be another fleet's. */
export async function assertOwnBucket(
  { records, store }: { readonly records: Records; readonly store: Store },
  options: Cancellable = {},
): Promise<void> {
  await assertBucketIsOurs(store, (await getFleet(records)).id, options)
}

/** Claims the bucket for this fleet, even from another one. @returns the fleet that had it, if it was another */
export async function takeOverBucket(
  store: Store,
  fleet: string,
  options: Cancellable = {},
): Promise<string | undefined> {
  const before = await ownerOfBucket(store, options)
  if (before === fleet) return undefined
  await write(store, fleet, { ...options, replace: before !== undefined })
  return before
}

async function write(
  store: Store,
  fleet: string,
  { replace, ...options }: Cancellable & { readonly replace: boolean },
) {
  await store.put({
    key: FLEET_MARK,
    body: once(BODY),
    length: BODY.length,
    metadata: { [OWNER]: fleet },
    replace,
    ...request(options),
  })
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes)
}

function request({ signal }: Cancellable): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof StoreError && error.code === code
}
