import { setMaxListeners } from 'node:events'
import type { Io } from './io.js'
import { createPrinter, type Printer } from './output/printer.js'
import { Closers } from './services/closers.js'
import { createSettings, type Settings } from './services/settings.js'

/** What every verb is given. */
export interface CommandContext extends AsyncDisposable {
  readonly io: Io
  readonly print: Printer
  readonly settings: Settings
  readonly signal: AbortSignal
  /** closes something when the command ends, however it ends */
  defer(close: () => unknown): void
}

/** Options that every verb knows. */
export interface CommonOptions {
  readonly json?: boolean
  readonly config?: string
  readonly dryRun?: boolean
}

export function createContext(io: Io, o: CommonOptions, print = createPrinter(io, o.json === true)): CommandContext {
  const closers = new Closers()
  // Each object that is read side by side listens to it; so many of them are meant.
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
    async [Symbol.asyncDispose]() {
      try {
        await closers[Symbol.asyncDispose]()
      } finally {
        for (const warning of warnings) await print.note(`warning: ${warning}`)
      }
    },
  }
}
