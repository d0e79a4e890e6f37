import { dedicated, wipe } from '@sealfleet/format'

import type { Role } from '../contract.js'
import type { HsmError } from '../errors/hsm-error.js'
import type { HsmEvent } from '../events.js'
import type { AgentHandle, PoolRequest } from './agent-handle.js'
import type { Clock } from './agent-connection.js'
import type { OperationName } from '../wire/operations.js'

export interface Submission {
  readonly name: OperationName
  readonly role: Role
  readonly label: string
  readonly parts: readonly Uint8Array[]
  readonly signal?: AbortSignal | undefined
  /** Run on this agent process alone, past the breaker: probes. */
  readonly targetAgent?: AgentHandle | undefined
  /** Run on another agent if one is free. */
  readonly excludeAgent?: AgentHandle | undefined
  /** When the request must have settled, on the pool's clock; default: the pool's deadline from now. */
  readonly deadlineAt?: number | undefined
  /** Another token failed the operation: it waits for a session even if the queue is full. */
  readonly failedOver?: boolean | undefined
  /** Whether another token takes the operation after this failure. */
  readonly canFailOver?: ((error: HsmError) => boolean) | undefined
  /** Whether another token can take the operation now and is known to hold its key. */
  readonly otherTokenHasKey?: (() => boolean) | undefined
  /** Called with the agent that answered. */
  readonly answeredBy?: ((life: AgentHandle) => void) | undefined
}

export type Outcome = (HsmEvent & { type: 'operation' })['outcome']

function noListener(): void {
  // Without a signal there is no listener to remove.
}

/** Opens and closes requests: their numbers, their bytes, and the one answer to each. */
export class RequestFactory {
  readonly #clock: Clock
  readonly #deadlineMs: number
  readonly #emit: (event: HsmEvent) => void
  #nextId = 1

  constructor(options: { clock: Clock; deadlineMs: number; emit: (event: HsmEvent) => void }) {
    this.#clock = options.clock
    this.#deadlineMs = options.deadlineMs
    this.#emit = options.emit
  }

  /** Copies the parts, so that a replay sends the same bytes as the first try. */
  open(
    {
      name,
      role,
      label,
      parts,
      targetAgent: only,
      answeredBy,
      canFailOver: moves,
      otherTokenHasKey: elsewhere,
      deadlineAt,
    }: Submission,
    resolve: (bytes: Buffer) => void,
    reject: (error: unknown) => void,
  ): PoolRequest {
    const now = this.#clock.now()
    let offset = 0
    for (const part of parts) offset += part.length
    const payload = dedicated(offset)
    offset = 0
    for (const part of parts) {
      payload.set(part, offset)
      offset += part.length
    }
    const id = this.#nextId
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1
    return {
      id,
      name,
      role,
      label,
      payload,
      submittedAt: now,
      deadlineAt: deadlineAt ?? now + this.#deadlineMs,
      startedAt: now,
      slowReported: false,
      replays: 0,
      avoid: undefined,
      targetAgent: only,
      answeredBy,
      canFailOver: moves,
      otherTokenHasKey: elsewhere,
      settled: false,
      resolve,
      reject,
      release: noListener,
    }
  }

  /** Rejects the request with the signal's reason as soon as it is aborted; `leave` takes it out of the queue. */
  listen(request: PoolRequest, signal: AbortSignal, leave: () => void): void {
    const abort = () => {
      leave()
      this.settle(request, 'aborted', () => {
        request.reject(signal.reason)
      })
    }
    signal.addEventListener('abort', abort, { once: true })
    request.release = () => {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Settles the request once; late answers are dropped. */
  settle(request: PoolRequest, outcome: Outcome, tell: () => void): void {
    if (request.settled) return
    request.settled = true
    request.release()
    wipe(request.payload)
    const now = this.#clock.now()
    const { name, role, replays, submittedAt, startedAt } = request
    const times = { queueMs: startedAt - submittedAt, runMs: now - startedAt }
    this.#emit({ type: 'operation', operation: name, role, outcome, replays, ...times })
    tell()
  }
}
