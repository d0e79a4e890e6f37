import { CliError } from './cli-error.js'
import { EXIT } from './exit-status.js'

/** Why a command was stopped; the reason of `Io.signal`. */
export class Interrupted extends CliError {
  readonly signalName: NodeJS.Signals

  constructor(signalName: NodeJS.Signals) {
    super('CANCELLED', `stopped by ${signalName}`, { exitStatus: EXIT.failed })
    this.signalName = signalName
  }
}

/** The time `ms` from now, or the signal's reason, whichever comes first. Keeps no timer behind. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
  })
}
