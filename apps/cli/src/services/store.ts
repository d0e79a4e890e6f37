import type { Config } from '@sealfleet/config'
import { openConfiguredStore } from '@sealfleet/runtime'
import type { Unresponsive, Store, StoreError } from '@sealfleet/store'
import type { CommandContext } from '../context.js'
import { humanDuration } from '../output/units.js'

/**
 * The configured store. Reading commands open it read-only: their credentials need no more. A command reports when the
 * store does not answer, and gives up sooner than a worker.
 */
export function openObjectStore(
  { s3 }: Pick<Config<'s3'>, 's3'>,
  o: {
    readonly access: 'read-only' | 'read-write'
    readonly context: Pick<CommandContext, 'io' | 'signal'>
    /** a wrong secret, to test whether it is refused */
    readonly secretAccessKey?: string
    /** prefix of the trial objects, when not the usual one */
    readonly probePrefix?: string
    readonly onWarning?: (warning: StoreError) => void
  },
): Promise<Store> {
  const { signal, io } = o.context
  return openConfiguredStore(
    { s3 },
    {
      giveUpAfterMs: s3.commandPatienceMs,
      // A low setting is reported, too.
      silenceAfterMs: Math.min(5_000, s3.commandPatienceMs / 4),
      onSilence: teller(io, s3.endpoint ?? `S3 in ${s3.region}`),
      access: o.access,
      ...(o.secretAccessKey !== undefined && { secretAccessKey: o.secretAccessKey }),
      ...(o.probePrefix !== undefined && { probePrefix: o.probePrefix }),
      ...(o.onWarning !== undefined && { onWarning: o.onWarning }),
      signal,
    },
  )
}

/** Writes to standard error, with --json too. On a terminal the lines replace the progress line. */
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
