/**
 * Settles as `pending` does, or rejects with the signal's reason if that aborts first: not every driver observes a
 * signal, and a hanging one is abandoned. The listener is removed when the promise settles, so that a signal that lives
 * as long as the process collects none.
 */
export function unlessAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    const done = (): void => signal.removeEventListener('abort', abort)
    pending.then(resolve, reject).then(done, done)
  })
}
