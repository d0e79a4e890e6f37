/** Resolves with the next SIGTERM or SIGINT. From the call on, that signal does not end the process by itself. */
export function nextSignal(process: NodeJS.Process): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const done = (signal: NodeJS.Signals): void => {
      process.off('SIGTERM', done)
      process.off('SIGINT', done)
      resolve(signal)
    }
    process.on('SIGTERM', done)
    process.on('SIGINT', done)
  })
}
