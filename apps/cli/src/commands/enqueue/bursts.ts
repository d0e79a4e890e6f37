/**
 * Groups what a source yields into arrays of `most` items, or of those that came within `waitMs` of the first. A fast
 * source gives few large arrays; items of a slow one do not wait for the rest.
 */
export async function* bursts<T>(
  source: AsyncIterable<T>,
  o: { readonly most: number; readonly waitMs: number },
): AsyncGenerator<readonly T[], void, undefined> {
  const entries = source[Symbol.asyncIterator]()
  const ask = (): Promise<IteratorResult<T>> => {
    const next = entries.next()
    // It may fail while the consumer is busy; it is still awaited below.
    next.catch(() => undefined)
    return next
  }
  let pending = ask()
  try {
    for (;;) {
      let step: IteratorResult<T> | undefined = await pending
      const burst: T[] = []
      using deadline = after(o.waitMs)
      while (step !== undefined && step.done !== true) {
        burst.push(step.value)
        pending = ask()
        step = burst.length < o.most ? await Promise.race([pending, deadline.over]) : undefined
      }
      if (burst.length > 0) yield burst
      if (step?.done === true) return
    }
  } finally {
    // Not awaited: a source that waits for more input would block the end. Its owner ends it.
    entries.return?.(undefined)?.catch(() => undefined)
  }
}

function after(ms: number): Disposable & { readonly over: Promise<undefined> } {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  return { over, [Symbol.dispose]: () => clearTimeout(timer) }
}
