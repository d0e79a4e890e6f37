import type { Handle } from './cryptoki.js'

/**
 * Derivations on their way to the lane (lane.ts) and back, in memory that the agent's loop and the lane's thread share:
 * a ring of slots that the loop fills in order and the thread works through in that order.
 *
 * FREE → QUEUED → TAKEN → DONE → FREE. The loop may take back requests that the thread has not taken yet: QUEUED →
 * WITHDRAWN → FREE. Word 0 counts all requests ever put; the thread sleeps on it. Word 1 is set while the loop has been
 * notified of answers and has not looked yet. Each slot has six words (state, bytes in, bytes out, return value,
 * function, microseconds) and the bytes: two handles, the message, the output. The loop wipes message and output as
 * soon as a request has settled.
 */
const SLOTS = 64
const STATE = { free: 0, queued: 1, taken: 2, done: 3, withdrawn: 4 } as const
const WORD = { state: 0, input: 1, output: 2, ckr: 3, fn: 4, micros: 5 } as const
const WORDS = 6
const HEAD = { put: 0, told: 1 } as const
const HEAD_WORDS = 2
const HANDLE = 8
/** A derivation input has 32 or 106 bytes; longer messages don't take the lane. */
const MAX_MESSAGE = 112
/** Room for bytes that a careless module writes beyond the 32, as in sessions.ts. */
const OUT = 128
const SLOT_BYTES = 2 * HANDLE + MAX_MESSAGE + OUT
const FIRST_SLOT = Math.ceil(((HEAD_WORDS + SLOTS * WORDS) * 4) / 64) * 64
const RING_BYTES = FIRST_SLOT + SLOTS * SLOT_BYTES

const FUNCTIONS = ['C_SignInit', 'C_Sign'] as const

export type LaneFunction = (typeof FUNCTIONS)[number]

/** One request for the thread: its buffers are the slot's own memory. */
export interface LaneWork {
  readonly slot: number
  readonly session: Buffer
  readonly key: Buffer
  readonly message: Buffer
  readonly out: Buffer
}

export type LaneOutcome =
  /** `out` is a view that is wiped when the handler returns. */
  | { readonly state: 'done'; readonly out: Uint8Array; readonly length: number; readonly micros: number }
  | { readonly state: 'failed'; readonly ckr: number; readonly fn: LaneFunction }
  /** Not run, and never will be. */
  | { readonly state: 'withdrawn' }

type Handler = (outcome: LaneOutcome) => void

export class LaneRing {
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #bytes: Uint8Array
  readonly #handlers: (Handler | undefined)[] = Array.from({ length: SLOTS }, () => undefined)
  /** The loop's counters: requests put, and requests finished, in order. */
  #put = 0
  #seen = 0
  /** The thread's counter: requests finished. */
  #next = 0
  readonly #works: LaneWork[] = []

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(RING_BYTES)) {
    this.memory = memory
    this.#words = new Int32Array(memory, 0, HEAD_WORDS + SLOTS * WORDS)
    this.#bytes = new Uint8Array(memory)
  }

  // Called by the loop

  /** Requests that were put and have not settled. */
  get waiting(): number {
    return this.#handlers.reduce((sum, handler) => (handler === undefined ? sum : sum + 1), 0)
  }

  /** False: the ring is full, or the message is too long. {@link reap} or {@link withdraw} calls `handler` once. */
  put(session: Handle, key: Handle, message: Uint8Array, handler: Handler): boolean {
    const slot = this.#put % SLOTS
    if (this.#put - this.#seen >= SLOTS || this.#state(slot) !== STATE.free) return false
    if (message.length > MAX_MESSAGE || session.length !== HANDLE || key.length !== HANDLE) return false
    const at = FIRST_SLOT + slot * SLOT_BYTES
    this.#bytes.set(session, at)
    this.#bytes.set(key, at + HANDLE)
    this.#bytes.set(message, at + 2 * HANDLE)
    this.#words[word(slot, WORD.input)] = message.length
    this.#handlers[slot] = handler
    Atomics.store(this.#words, word(slot, WORD.state), STATE.queued)
    this.#put += 1
    Atomics.store(this.#words, HEAD.put, this.#put | 0)
    Atomics.notify(this.#words, HEAD.put)
    return true
  }

  /** Settles the requests that the thread has finished; returns their number. */
  reap(): number {
    let reaped = 0
    Atomics.store(this.#words, HEAD.told, 0)
    for (; this.#seen < this.#put; this.#seen += 1) {
      const slot = this.#seen % SLOTS
      if (this.#handlers[slot] === undefined) continue
      if (this.#state(slot) !== STATE.done) break
      try {
        this.#settle(slot, this.#outcome(slot))
      } finally {
        Atomics.store(this.#words, word(slot, WORD.state), STATE.free)
      }
      reaped += 1
    }
    return reaped
  }

  /** Takes back the requests that the thread has not begun. */
  withdraw(): void {
    for (let count = this.#seen; count < this.#put; count += 1) {
      const slot = count % SLOTS
      const state = word(slot, WORD.state)
      if (Atomics.compareExchange(this.#words, state, STATE.queued, STATE.withdrawn) !== STATE.queued) continue
      this.#settle(slot, { state: 'withdrawn' })
    }
  }

  // Called by the thread

  /** Takes the next request; undefined when there is none. */
  next(): LaneWork | undefined {
    while (this.#next !== Atomics.load(this.#words, HEAD.put)) {
      const slot = (this.#next >>> 0) % SLOTS
      const state = word(slot, WORD.state)
      this.#next = (this.#next + 1) | 0
      if (Atomics.compareExchange(this.#words, state, STATE.queued, STATE.taken) === STATE.queued) {
        return this.#work(slot)
      }
      Atomics.store(this.#words, state, STATE.free)
    }
    return undefined
  }

  /** Sleeps until there is a request that {@link next} has not seen. */
  wait(): void {
    Atomics.wait(this.#words, HEAD.put, this.#next)
  }

  done({ slot }: LaneWork, result: { length: number } | { ckr: number; fn: LaneFunction }, micros: number): void {
    this.#words[word(slot, WORD.output)] = 'length' in result ? result.length : -1
    this.#words[word(slot, WORD.ckr)] = 'ckr' in result ? result.ckr | 0 : 0
    this.#words[word(slot, WORD.fn)] = 'fn' in result ? FUNCTIONS.indexOf(result.fn) : 0
    this.#words[word(slot, WORD.micros)] = Math.min(micros, 0x7fff_ffff)
    Atomics.store(this.#words, word(slot, WORD.state), STATE.done)
  }

  /** Whether the loop must be notified of answers: not if it was notified before and has not looked yet. */
  mustTell(): boolean {
    return Atomics.exchange(this.#words, HEAD.told, 1) === 0
  }

  #state(slot: number): number {
    return Atomics.load(this.#words, word(slot, WORD.state))
  }

  /** A slot's views are made once, and again for a message of another length. */
  #work(slot: number): LaneWork {
    const length = this.#words[word(slot, WORD.input)] ?? 0
    const known = this.#works[slot]
    if (known?.message.length === length) return known
    const at = FIRST_SLOT + slot * SLOT_BYTES
    const view = (offset: number, bytes: number) => Buffer.from(this.memory, at + offset, bytes)
    const work: LaneWork = {
      slot,
      session: view(0, HANDLE),
      key: view(HANDLE, HANDLE),
      message: view(2 * HANDLE, length),
      out: view(2 * HANDLE + MAX_MESSAGE, OUT),
    }
    this.#works[slot] = work
    return work
  }

  #outcome(slot: number): LaneOutcome {
    const read = (name: keyof typeof WORD) => this.#words[word(slot, WORD[name])] ?? 0
    const length = read('output')
    if (length < 0) return { state: 'failed', ckr: read('ckr') >>> 0, fn: FUNCTIONS[read('fn')] ?? 'C_Sign' }
    const at = FIRST_SLOT + slot * SLOT_BYTES + 2 * HANDLE + MAX_MESSAGE
    return { state: 'done', out: this.#bytes.subarray(at, at + OUT), length, micros: read('micros') }
  }

  #settle(slot: number, outcome: LaneOutcome): void {
    const handler = this.#handlers[slot]
    this.#handlers[slot] = undefined
    try {
      handler?.(outcome)
    } finally {
      const at = FIRST_SLOT + slot * SLOT_BYTES
      this.#bytes.fill(0, at, at + SLOT_BYTES)
    }
  }
}

function word(slot: number, name: number): number {
  return HEAD_WORDS + slot * WORDS + name
}
