import { HsmError } from '../errors/hsm-error.js'
import { packKeyed, type OperationError } from '../wire/messages.js'
import type { TokenPoolOptions } from './token-pool-options.js'
import { agentDied, operationFailure } from './failures.js'
import { AgentHandle, type AgentListener, type PoolRequest } from './agent-handle.js'
import type { AgentEvents } from './agent-connection.js'

/** `unknown`: a process started after the question does not find the key either. An error: the search failed. */
export type SearchOutcome = 'unknown' | 'found' | HsmError

interface Question {
  readonly label: string
  readonly answer: Promise<SearchOutcome>
  readonly settle: (finding: SearchOutcome) => void
}

/**
 * Confirms in a fresh process that a key is not in the token: a module that lost its token finds no keys either (seen
 * on SoftHSM), and "unknown key" is a verdict that ends jobs. One process at a time answers all questions asked before
 * it started; later questions wait for the next process.
 */
export class UnknownKeys implements AgentListener {
  readonly #options: TokenPoolOptions
  readonly #teach: (life: AgentHandle) => void
  readonly #asked = new Map<string, Question>()
  #batch = new Map<number, Question>()
  #life: AgentHandle | undefined
  #stopped = false
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: TokenPoolOptions, teach: (life: AgentHandle) => void) {
    this.#options = options
    this.#teach = teach
  }

  async confirm(label: string): Promise<SearchOutcome> {
    const open = this.#asked.get(label)
    if (open !== undefined) return open.answer
    let settle: (finding: SearchOutcome) => void = () => undefined
    const answer = new Promise<SearchOutcome>((resolve) => (settle = resolve))
    this.#asked.set(label, { label, answer, settle })
    this.#next()
    return answer
  }

  check(stalled: boolean): void {
    this.#life?.check(stalled)
  }

  stop(): void {
    this.#stopped = true
    this.#life?.end('error', agentDied('the pool is closing'))
  }

  /** Resolves when none of its processes is left. */
  async ended(): Promise<void> {
    await this.#last
  }

  ready(life: AgentHandle): void {
    this.#teach(life)
    for (const [id, { label }] of this.#batch) life.run(this.#request(id, label))
  }

  answered(_life: AgentHandle, request: PoolRequest): void {
    this.#answer(request.id, 'found')
  }

  refused(_life: AgentHandle, request: PoolRequest, error: OperationError): void {
    // A wrong key counts as found: the pool's own agent then says what is wrong with it.
    const finding = { unknown: 'unknown', mismatch: 'found', exists: 'found' } as const
    const { verdict } = error
    const known = verdict === 'unknown' || verdict === 'mismatch' || verdict === 'exists'
    this.#answer(request.id, known ? finding[verdict] : operationFailure(request.label, error))
  }

  late(life: AgentHandle): void {
    life.end('hung', agentDied('it did not answer'))
  }

  progressed(): void {
    // Its capacity is not used.
  }

  bound(): void {
    // The pool's agents compare check values themselves.
  }

  gone(_life: AgentHandle, _reason: unknown, failure: HsmError | undefined): void {
    this.#life = undefined
    for (const id of [...this.#batch.keys()]) this.#answer(id, failure ?? agentDied('it ended'))
    this.#next()
  }

  #next(): void {
    if (this.#life !== undefined || this.#asked.size === 0) return
    let id = 0
    this.#batch = new Map([...this.#asked.values()].map((question) => [(id += 1), question]))
    this.#asked.clear()
    const failAll = (error: HsmError) => {
      for (const open of [...this.#batch.keys()]) this.#answer(open, error)
    }
    if (this.#stopped) {
      failAll(agentDied('the pool is closing'))
      return
    }
    try {
      const start = (events: AgentEvents) => this.#options.start(events, 1)
      this.#life = new AgentHandle({ ...this.#options, index: -1, sessions: 1, start }, this)
      this.#last = Promise.all([this.#last, this.#life.ended])
    } catch (error) {
      if (!(error instanceof HsmError)) throw error
      failAll(error)
    }
  }

  #answer(id: number, finding: SearchOutcome): void {
    const question = this.#batch.get(id)
    this.#batch.delete(id)
    question?.settle(finding)
    if (this.#batch.size > 0 || this.#life === undefined) return
    const life = this.#life
    this.#life = undefined
    void life.close()
    this.#next()
  }

  #request(id: number, label: string): PoolRequest {
    const now = this.#options.clock.now()
    const payload = Buffer.concat(packKeyed(label))
    const times = { submittedAt: now, deadlineAt: Infinity, startedAt: now }
    const fresh = { slowReported: false, replays: 0, avoid: undefined, targetAgent: undefined, settled: false }
    const silent = {
      answeredBy: undefined,
      resolve: () => undefined,
      reject: () => undefined,
      release: () => undefined,
    }
    return { id, name: 'bind', role: 'enc', label, payload, ...times, ...fresh, ...silent }
  }
}
