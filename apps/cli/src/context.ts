import { setMaxListeners } from 'node:events'
import type { Io } from './io.js'
import { createPrinter, type Printer } from './output/printer.js'
import type { ViewOptions } from './output/view.js'
import { AsyncDisposableStack } from '@sealfleet/runtime'
import { createSettings, type Settings } from './input/settings.js'

/** What every command receives. */
export interface CommandContext extends AsyncDisposable {
  readonly io: Io
  readonly print: Printer
  readonly settings: Settings
  readonly signal: AbortSignal
  /** closes something when the command ends, however it ends */
  defer(close: () => unknown): void
  /**
   * Sets the advice for a signal that stops the command from here on: what is left behind, and how to continue. The
   * last call counts. By default: the same command continues or starts again.
   */
  ifStopped(fix: string): void
}

/** Options that every verb knows. */
export interface CommonOptions extends ViewOptions {
  readonly json?: boolean
  readonly config?: string
  readonly dryRun?: boolean
}

export function createContext(
  io: Io,
  o: CommonOptions,
  print = createPrinter(io, o.json === true),
  ifStopped: CommandContext['ifStopped'] = () => undefined,
): CommandContext {
  const closers = new AsyncDisposableStack()
  // Each object that is read concurrently listens to it, so this many listeners are intended.
  setMaxListeners(0, io.signal)
  const warnings: string[] = []
  const settings = createSettings(io, o.config, (text) => warnings.push(text))
  return {
    io,
    print,
    // A warning is printed when the command ends: by then progress bars are gone.
    settings,
    signal: io.signal,
    defer: (close) => closers.defer(close),
    ifStopped,
    async [Symbol.asyncDispose]() {
      try {
        await closers[Symbol.asyncDispose]()
      } finally {
        for (const warning of warnings) await print.note(`warning: ${warning}`)
      }
    },
  }
}
