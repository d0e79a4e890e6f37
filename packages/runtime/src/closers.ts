/**
 * What must be closed, in the reverse order of opening. (Node 20 has the symbols but not `AsyncDisposableStack`.)
 * Every closer runs, whatever the others do; the first error is thrown at the end, the others are its `errors`.
 */
export class Disposals implements AsyncDisposable {
  readonly #closers: (() => unknown)[] = []

  defer(close: () => unknown): void {
    this.#closers.push(close)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = []
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      try {
        await close()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'closing failed', { cause: errors[0] })
  }
}
