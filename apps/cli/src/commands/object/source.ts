import { fileReader, inspectObject, type ObjectInfo, type ObjectReader } from '@sealfleet/format'
import { readObjectMetadata } from '@sealfleet/store'
import path from 'node:path'
import { missingError, usageError } from '../../cli-error.js'
import type { CommandContext } from '../../context.js'
import { hasCode } from '../../files/errno.js'
import { printable } from '../../output/printable.js'
import { openObjectStore } from '../../services/store.js'

/** A sealed object to be read, wherever it lies. */
export interface ObjectInput {
  readonly reader: ObjectReader
  /** the context in S3's metadata; anyone who can write there could have changed it */
  readonly metadataContext: Buffer | undefined
  readonly where: string
}

export interface S3Address {
  readonly bucket: string
  readonly key: string
}

/** `s3://bucket/key`, the key taken as it stands; undefined for anything that doesn't begin with `s3://`. */
export function parseS3Address(text: string): S3Address | undefined {
  if (!text.startsWith('s3://')) return undefined
  const [, bucket, key] = /^s3:\/\/([^/]+)\/(.+)$/s.exec(text) ?? []
  if (bucket === undefined || key === undefined) throw usageError(`${printable(text)} is not s3://bucket/key`)
  return { bucket, key }
}

/** Opens a local file or an S3 object (pinned to the version or ETag that HEAD names). Closed when the command ends. */
export async function openObjectInput(context: CommandContext, target: string, version?: string): Promise<ObjectInput> {
  const address = parseS3Address(target)
  if (address) return fromS3(context, address, version)
  if (version !== undefined) throw usageError('--object-version needs an s3:// address')
  try {
    const reader = await fileReader(path.resolve(context.io.cwd, target))
    context.defer(() => reader.close())
    return { reader, metadataContext: undefined, where: target }
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error
    throw missingError('NOT_FOUND', `${printable(target)} does not exist`)
  }
}

async function fromS3(context: CommandContext, { bucket, key }: S3Address, version?: string): Promise<ObjectInput> {
  const config = context.settings.load(['s3'], { SEALFLEET_S3_BUCKET: bucket })
  const store = await openObjectStore(config, { access: 'read-only', context })
  context.defer(() => store.close())
  const head = await store.head(key, { signal: context.signal, ...(version === undefined ? {} : { version }) })
  const reader = store.reader({
    key,
    length: head.length,
    ...(head.version === undefined ? { etag: head.etag } : { version: head.version }),
  })
  const { context: metadataContext } = readObjectMetadata(head.metadata)
  return { reader, metadataContext, where: `s3://${bucket}/${key}` }
}

/** The strict parse, before anything else is opened: a file that is not an object is refused without an HSM. */
export function inspect(context: CommandContext, source: ObjectInput): Promise<ObjectInfo> {
  return inspectObject(source.reader, { signal: context.signal })
}
