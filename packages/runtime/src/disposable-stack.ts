/**
 * The standard's stack of disposables, which Node.js has from version 24: disposes of them in the reverse order of
 * deferral. Every one is disposed of, even if others fail. A single error is thrown unchanged, several as an
 * AggregateError whose cause is the first.
 */
export class AsyncDisposableStack implements AsyncDisposable {
  readonly #deferred: (() => unknown)[] = []

  defer(dispose: () => unknown): void {
    this.#deferred.push(dispose)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = []
    for (let dispose = this.#deferred.pop(); dispose !== undefined; dispose = this.#deferred.pop()) {
      try {
        await dispose()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 1) throw new AggregateError(errors, 'closing failed', { cause: errors[0] })
    if (errors.length === 1) throw errors[0]
  }
}
