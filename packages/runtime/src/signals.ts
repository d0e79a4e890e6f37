export interface SignalHandling {
  /** Default SIGTERM and SIGINT. */
  readonly signals?: readonly NodeJS.Signals[]
  /** The first signal: asks for an orderly end. */
  readonly onFirst: (signal: NodeJS.Signals) => void
  /** Any signal after it: ends the process at once. */
  readonly onSecond: (signal: NodeJS.Signals) => void
}

/**
 * Handles the signals that stop a program. From the call on, none of them ends the process by itself. The returned
 * function gives them their default effect again.
 */
export function handleSignals(process: NodeJS.Process, handling: SignalHandling): () => void {
  const { signals = ['SIGTERM', 'SIGINT'], onFirst, onSecond } = handling
  let stopping = false
  const release = (): void => {
    for (const name of signals) process.off(name, received)
  }
  const received = (signal: NodeJS.Signals): void => {
    if (stopping) return onSecond(signal)
    stopping = true
    onFirst(signal)
  }
  for (const name of signals) process.on(name, received)
  return release
}
