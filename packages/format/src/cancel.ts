/** Cancellation of waits: an abort must reach the `finally` blocks even while a source hangs. */

function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason
  return reason instanceof Error ? reason : new DOMException('aborted', 'AbortError')
}

/**
 * Settles as `pending` does, or rejects with the signal's reason if that aborts first: not every driver observes a
 * signal, and a hanging one is abandoned. The listener is removed when the promise settles: one that lived as long as
 * the signal would hold every chunk of a long file.
 */
export function unlessAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(abortReason(signal))
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    const done = (): void => signal.removeEventListener('abort', abort)
    pending.then(resolve, reject).then(done, done)
  })
}

/**
 * The items of `source`; throws the signal's reason as soon as it aborts, also while the source hangs. Closes the
 * source on every path (without waiting for it after an abort, since it may never answer).
 */
export async function* untilAborted<T>(
  source: AsyncIterable<T> | Iterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  if (!signal) {
    yield* source
    return
  }
  signal.throwIfAborted()
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  let running = true
  let rejectItem: (reason: Error) => void = () => undefined
  const next = (): Promise<IteratorResult<T>> =>
    new Promise((resolve, reject) => {
      rejectItem = reject
      Promise.resolve(iterator.next()).then(resolve, reject)
    })
  // One for all items: a listener for each takes longer than what is done with a small one. It holds the last item's
  // promise and no other.
  const onAbort = (): void => rejectItem(abortReason(signal))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    for (;;) {
      const item = await next()
      if (item.done) {
        running = false
        return
      }
      yield item.value
      signal.throwIfAborted()
    }
  } catch (error) {
    // A source that threw has ended; a hanging one is told to end, but not awaited.
    running = false
    if (signal.aborted) void Promise.allSettled([Promise.resolve(iterator.return?.())])
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
    if (running) await iterator.return?.()
  }
}

/**
 * A generator that also cleans up when it ends before it began: the `finally` of a generator function never runs then.
 * `onEnd` may be called more than once.
 */
export function endingWith<T>(inner: AsyncGenerator<T, void, void>, onEnd: () => void): AsyncGenerator<T, void, void> {
  const ended = async <R>(step: Promise<R>): Promise<R> => {
    try {
      return await step
    } finally {
      onEnd()
    }
  }
  const outer: AsyncGenerator<T, void, void> = {
    next: () => inner.next(),
    return: (value) => ended(inner.return(value)),
    throw: (error) => ended(inner.throw(error)),
    [Symbol.asyncIterator]: () => outer,
    [Symbol.asyncDispose]: async () => {
      await outer.return()
    },
  }
  return outer
}
