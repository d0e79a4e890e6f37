import { CliError } from './cli-error.js'
import { EXIT } from './exit-status.js'

/** Why a command was stopped; the reason of `Io.signal`. */
export class Interrupted extends CliError {
  readonly signalName: NodeJS.Signals

  constructor(signalName: NodeJS.Signals) {
    super('CANCELLED', `stopped by ${signalName}`, {
      exitStatus: EXIT.failed,
      fix: 'what was done stays done; the same command continues from there, or starts again',
    })
    this.signalName = signalName
  }
}
