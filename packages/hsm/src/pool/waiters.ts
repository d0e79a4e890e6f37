import type { AgentHandle, PoolRequest } from './agent-handle.js'

/** Operations that wait for a session, in order; those whose agent failed come first. */
export class Waiters {
  readonly #requests: PoolRequest[] = []

  get length(): number {
    return this.#requests.length
  }

  push(request: PoolRequest): void {
    this.#requests.push(request)
  }

  unshift(request: PoolRequest): void {
    this.#requests.unshift(request)
  }

  /** Returns whether the request was waiting. */
  remove(request: PoolRequest): boolean {
    const index = this.#requests.indexOf(request)
    if (index >= 0) this.#requests.splice(index, 1)
    return index >= 0
  }

  all(): PoolRequest[] {
    return [...this.#requests]
  }

  takeAll(): PoolRequest[] {
    return this.#requests.splice(0)
  }

  /** Gives sessions to the first operations, as long as `choose` finds an agent with a free one. */
  dispatch(choose: (avoid: object | undefined) => AgentHandle | undefined): void {
    for (let i = 0; i < this.#requests.length;) {
      const request = this.#requests[i]
      const life = request === undefined ? undefined : choose(request.avoid)
      if (request === undefined || life === undefined) {
        // Only a replay may be skipped: the only free agent may be the one it must avoid.
        if (request?.avoid === undefined) return
        i += 1
        continue
      }
      this.#requests.splice(i, 1)
      life.run(request)
    }
  }
}
