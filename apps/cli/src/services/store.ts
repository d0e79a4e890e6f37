import { tlsOptions, type Config } from '@sealfleet/config'
import { openStore, type Unresponsive, type Store, type StoreError } from '@sealfleet/store'
import type { CommandContext } from '../context.js'
import { humanDuration } from '../output/units.js'

/**
 * The store of the configuration. ObjectReader commands open it read-only: their credentials need no more. Anyone who waits is told
 * when the store does not answer, and it is given up sooner than workers do, who have time.
 */
export function openObjectStore(
  { s3 }: Pick<Config<'s3'>, 's3'>,
  o: {
    readonly access: 'read-only' | 'read-write'
    readonly context: Pick<CommandContext, 'io' | 'signal'>
    /** another than the configured one: to see whether it is refused */
    readonly secretAccessKey?: string
    /** where the store is tried out, when not at its usual place */
    readonly probePrefix?: string
    readonly onWarning?: (warning: StoreError) => void
  },
): Promise<Store> {
  const { signal, io } = o.context
  return openStore({
    ...(s3.endpoint === undefined ? {} : { endpoint: s3.endpoint }),
    region: s3.region,
    bucket: s3.bucket,
    accessKeyId: s3.accessKeyId.reveal(),
    secretAccessKey: o.secretAccessKey ?? s3.secretAccessKey.reveal(),
    forcePathStyle: s3.forcePathStyle,
    connectTimeoutMs: s3.connectTimeoutMs,
    requestTimeoutMs: s3.requestTimeoutMs,
    maxAttempts: s3.maxAttempts,
    giveUpAfterMs: s3.commandPatienceMs,
    // Anyone who has set it low is told all the same.
    silenceAfterMs: Math.min(5_000, s3.commandPatienceMs / 4),
    onSilence: teller(io, s3.endpoint ?? `S3 in ${s3.region}`),
    partSize: s3.partSize,
    unsignedPayload: s3.unsignedPayload,
    checksums: s3.checksums,
    tls: tlsOptions(s3.tls),
    access: o.access,
    ...(o.probePrefix !== undefined && { probePrefix: o.probePrefix }),
    ...(o.onWarning !== undefined && { onWarning: o.onWarning }),
    signal,
  })
}

/** Lines on standard error, with --json too: standard output is not touched. On a terminal they take the progress line's place. */
function teller({ stderr }: CommandContext['io'], address: string): (silence: Unresponsive | null) => void {
  const say = (text: string): void => void stderr.write(`${stderr.isTTY === true ? '\r\u001b[K' : ''}${text}\n`)
  return (silence) => {
    if (silence === null) return say('the store answers again')
    const { what, silentMs, givesUpInMs } = silence
    const since = new Date(Date.now() - silentMs).toISOString().slice(11, 19)
    const left = givesUpInMs === 0 ? 'now' : `in ${humanDuration(givesUpInMs)} at the latest`
    say(
      `the store at ${address} has not answered since ${since}Z, for ${humanDuration(silentMs)}: ${what}; given up ${left}`,
    )
  }
}
