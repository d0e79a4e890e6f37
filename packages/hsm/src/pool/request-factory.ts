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
  /** Run on this life alone, past the breaker: probes. */
  readonly targetAgent?: AgentHandle | undefined
  /** Run on another one if one is free. */
  readonly excludeAgent?: AgentHandle | undefined
  /** When it must be settled, on the pool's clock; default: the pool's deadline from now. */
  readonly deadlineAt?: number | undefined
  /** Another token failed it: it waits for a session even where the queue is full. */
  readonly failedOver?: boolean | undefined
  /** Whether another token takes the operation if it fails like this. */
  readonly canFailOver?: ((error: HsmError) => boolean) | undefined
  /** Whether another token could take it now and is known to hold its key. */
  readonly otherTokenHasKey?: (() => boolean) | undefined
  /** Told which life answered. */
  readonly answeredBy?: ((life: AgentHandle) => void) | undefined
}

export type Outcome = (HsmEvent & { type: 'operation' })['outcome']

function noListener(): void {
  // Nothing listens to a signal that was not given.
}

/** Opens and closes requests: their numbers, their bytes, the one answer each of them gets. */
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

  /** Copies the parts, so that a replay sends what the first try sent. */
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

  /** The caller's answer, once; whatever comes later is no one's. */
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
