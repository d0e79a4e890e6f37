/**
 * In a bucket with object lock, a trial leaves objects behind that cannot be deleted for a while. So its result is
 * stored there, in the metadata of one object, and the next process reads it instead of repeating the trial. When that
 * object's own lock has run out, it and the remains of the trial can be deleted, and one process repeats the trial.
 */
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { UNPROBED, type Capabilities } from './capabilities.js'
import { isStoreError } from './classify.js'
import type { StoreError } from './errors.js'
import { head } from './head.js'
import type { S3Connection } from './s3-connection.js'

export interface RememberOptions {
  readonly bucket: string
  readonly prefix: string
  readonly signal?: AbortSignal | undefined
  readonly onWarning: (warning: StoreError) => void
}

const SEEN = 'seen'
/** Changes with Capabilities: a result of an earlier program is then ignored, and the trial repeated. */
const FIELD = 'sealfleet-seen-v1'
const BODY = Buffer.from('what this store can do is in the metadata; this object may be deleted\n')

/** The result of an earlier process; undefined: none is still locked. @throws StoreError for an outage */
export async function recall(
  link: S3Connection,
  { bucket, prefix, signal }: Omit<RememberOptions, 'onWarning'>,
): Promise<Capabilities | undefined> {
  try {
    const { metadata, lock } = await head(link, { bucket, key: `${prefix}${SEEN}`, signal })
    if (lock?.until === undefined) return undefined
    const capabilities = read(metadata[FIELD])
    return capabilities && { ...capabilities, lockedUntil: lock.until }
  } catch (error) {
    // A HEAD has no body: the first request with one reports a fault of bucket or rights.
    if (isStoreError(error, 'S3_NO_SUCH_OBJECT', 'S3_ACCESS_DENIED', 'S3_REJECTED', 'S3_UNSUPPORTED')) return undefined
    throw error
  }
}

/** Never throws: a process that cannot store the result still has it. */
export async function remember(
  link: S3Connection,
  { bucket, prefix, signal, onWarning }: RememberOptions,
  { lockedUntil: _, ...seen }: Capabilities,
): Promise<void> {
  const command = new PutObjectCommand({
    Bucket: bucket,
    Key: `${prefix}${SEEN}`,
    Body: BODY,
    ContentLength: BODY.length,
    Metadata: { [FIELD]: JSON.stringify(seen) },
  })
  try {
    await link.request({ what: 'remembering what the store can do', signal }, (client, o) => client.send(command, o))
  } catch (error) {
    if (!isStoreError(error)) throw error
    onWarning(error)
  }
}

/** Every user with write access to the bucket can write there: only a value of exactly this form is accepted. */
function read(text: string | undefined): Capabilities | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return hasFormOf(value, { ...UNPROBED, probed: true }) ? (value as Capabilities) : undefined
  } catch {
    return undefined
  }
}

function hasFormOf(value: unknown, form: object): boolean {
  if (typeof value !== 'object' || value === null) return false
  const fields = value as Readonly<Record<string, unknown>>
  return (
    Object.keys(fields).length === Object.keys(form).length &&
    Object.entries(form).every(([name, one]) =>
      typeof one === 'object' ? hasFormOf(fields[name], one as object) : typeof fields[name] === 'boolean',
    )
  )
}
