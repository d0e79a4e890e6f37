import type { Config } from '@sealfleet/config'
import { openStore, type Store } from '@sealfleet/store'

/** The store of the configuration. Reading commands open it read-only: their credentials need no more. */
export function openObjectStore(
  { s3 }: Pick<Config<'s3'>, 's3'>,
  o: { access: 'read-only' | 'read-write'; signal: AbortSignal },
): Promise<Store> {
  return openStore({
    ...(s3.endpoint === undefined ? {} : { endpoint: s3.endpoint }),
    region: s3.region,
    bucket: s3.bucket,
    accessKeyId: s3.accessKeyId.reveal(),
    secretAccessKey: s3.secretAccessKey.reveal(),
    forcePathStyle: s3.forcePathStyle,
    connectTimeoutMs: s3.connectTimeoutMs,
    requestTimeoutMs: s3.requestTimeoutMs,
    maxAttempts: s3.maxAttempts,
    partSize: s3.partSize,
    unsignedPayload: s3.unsignedPayload,
    access: o.access,
    signal: o.signal,
  })
}
