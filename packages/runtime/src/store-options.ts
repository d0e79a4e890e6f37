import { tlsOptions, type Config } from '@sealfleet/config'
import type { StoreOptions } from '@sealfleet/store'
import type { Logger } from '@sealfleet/telemetry'

/** The store's options from the configuration; its warnings go to the log. */
export function storeOptions({ s3 }: Pick<Config<'s3'>, 's3'>, log: Logger): StoreOptions {
  return {
    ...(s3.endpoint !== undefined && { endpoint: s3.endpoint }),
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
    checksums: s3.checksums,
    tls: tlsOptions(s3.tls),
    onWarning: (warning) => log.warn({ component: 's3', code: warning.code, err: warning }, 'store warning'),
  }
}
