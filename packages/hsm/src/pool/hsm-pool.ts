import { KNOWN_ANSWER_LENGTH, type KekRef, type KeyDeriver, type MasterKeyRef, type NonceWrapper } from '../contract.js'
import { HsmError } from '../errors/hsm-error.js'
import type { HsmEvent } from '../events.js'
import { KCV_LENGTH, WRAPPED_LENGTH } from '../inputs.js'
import { keyLabel } from '@sealfleet/format'
import type { PoolOptions } from '../options.js'
import { packKeyed } from '../wire/messages.js'
import { agreed, computeTwice, wrapAndOpen } from './double-check.js'
import { healthOf, type KeyOnToken, type PoolHealth } from './health.js'
import { KeyProofs, type ProveKey } from './key-proofs.js'
import { openTokens } from './open-tokens.js'
import { SealingGuard } from './sealing-guard.js'
import { countEvent, newStats, type PoolStats } from './stats.js'
import { hmacOf, unwrapOf, wrapOf, type CallOptions } from './submissions.js'
import type { FailoverPool } from './failover-pool.js'

const TICK_MS = 100
const MIB = 1 << 20

const DEFAULTS = {
  agents: 2,
  sessions: 8,
  softTimeoutMs: 1_000,
  hardTimeoutMs: 5_000,
  deadlineMs: 15_000,
  startTimeoutMs: 30_000,
  restartIntervalMs: 30_000,
  probeIntervalMs: 15_000,
  maxAgentRssBytes: 192 * MIB,
}

/** What {@link HsmPool.confirmed} gives. */
export interface SealingHsm extends KeyDeriver, NonceWrapper {
  /** Resolves when the key has been proved right; rejects as its first derivation would. */
  proven(key: MasterKeyRef): Promise<void>
}

/**
 * The HSM of one process: derivation and nonce wrapping for all of its jobs, off its event loop. Every method rejects
 * with HsmError (or the signal's reason, or TypeError for an input that may not reach a key). Every result is dedicated
 * memory that the caller owns: derived bytes and nonces lie in the arena; `wipe` of packages/format returns them.
 *
 * @example
 * await using pool = await HsmPool.open({ tokens: [{ module, token: 'sealfleet', pin: { kind: 'file', path } }] })
 * const dk = await pool.hmac({ role: 'enc', domain: 'default', suite: 1, version: 1 }, nonce)
 */
export class HsmPool implements KeyDeriver, NonceWrapper, AsyncDisposable {
  readonly #tokens: FailoverPool
  readonly #stats: PoolStats
  readonly #emit: (event: HsmEvent) => void
  readonly #timer: NodeJS.Timeout
  readonly #guard = new SealingGuard()
  /** Registered check values by label. */
  readonly #checkValues = new Map<string, Buffer>()
  #closing: Promise<void> | undefined

  private constructor(tokens: FailoverPool, stats: PoolStats, emit: (event: HsmEvent) => void) {
    this.#emit = emit
    this.#tokens = tokens
    this.#stats = stats
    this.#timer = setInterval(() => {
      tokens.tick()
    }, TICK_MS).unref()
  }

  /**
   * Starts the agents. Resolves when the first agent of the primary is logged in and has its sessions, or one of a
   * secondary if the primary does not start. When no token starts, rejects with the primary's failure:
   * HSM_ACCESS_DENIED (module, PIN), or HSM_UNAVAILABLE (token absent, HSM out of reach) unless `startWithoutToken`.
   */
  static async open(options: PoolOptions): Promise<HsmPool> {
    const settings = { ...DEFAULTS, ...defined(options) }
    const stats = newStats()
    const emit = (event: HsmEvent) => {
      countEvent(stats, event)
      options.onEvent?.(event)
    }
    const tokens = openTokens(options, settings, emit)
    const pool = new HsmPool(tokens, stats, emit)
    try {
      await tokens.start()
    } catch (error) {
      const mayCome = error instanceof HsmError && error.code === 'HSM_UNAVAILABLE'
      if (!(mayCome && options.startWithoutToken === true)) {
        await pool.close()
        throw error
      }
    }
    return pool
  }

  /** HMAC-SHA-256 of a derivation input under a master key: 32 bytes. */
  async hmac(key: MasterKeyRef, message: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return this.#tokens.submit(hmacOf(key, message, options))
  }

  /**
   * The same pool for sealing. Every derivation is computed twice, on two agents where two are ready; every wrapped
   * record is opened again; only then is the result returned. All sealing code derives through this method: it stops an
   * HSM that computes nonsense (docs/design/hsm-pool.md). `prove` is called once per key before the first derivation under it.
   * Rejects with HSM_UNAVAILABLE when the HSM contradicts itself, with KEY_MISMATCH when it computes nonsense or no
   * longer derives as before.
   */
  confirmed({ prove }: { readonly prove?: ProveKey } = {}): SealingHsm {
    const proofs = new KeyProofs(prove)
    const guard = this.#guard
    return {
      hmac: async (key, message, options) => {
        const submission = hmacOf(key, message, options)
        await proofs.of(key, options?.signal)
        const computed = {
          label: submission.label,
          input: message,
          checkValue: this.#checkValues.get(submission.label),
        }
        return computeTwice(this.#tokens, submission, this.#emit, { guard, computed })
      },
      wrap: async (kek, plaintext, aad, options) => {
        const wrap = wrapOf(kek, plaintext, aad, options)
        const open = (wrapped: Buffer) => unwrapOf(kek, wrapped, aad, options)
        return wrapAndOpen(this.#tokens, wrap, open, plaintext, this.#emit, guard)
      },
      unwrap: async (kek, wrapped, aad, options) => this.unwrap(kek, wrapped, aad, options),
      proven: (key) => proofs.of(key),
    }
  }

  /** Both nonces (64 bytes) under a KEK: 92 bytes, iv ‖ ciphertext ‖ tag, with a fresh iv each time (FORMAT §5). */
  async wrap(kek: KekRef, plaintext: Uint8Array, aad: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return this.#tokens.submit(wrapOf(kek, plaintext, aad, options))
  }

  /**
   * The inverse of {@link wrap}: 64 bytes. Rejects with E_NONCE_UNWRAP when record, data and key don't belong together.
   */
  async unwrap(kek: KekRef, wrapped: Uint8Array, aad: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return this.#tokens.submit(unwrapOf(kek, wrapped, aad, options))
  }

  /** The key's check value as the token computes it now: 8 bytes. Not for KEKs, which have none. */
  async keyCheckValue(key: MasterKeyRef, options?: CallOptions): Promise<Buffer> {
    if (key.role === 'kek') throw new TypeError('a KEK has no check value: its check is the record registered with it')
    const label = keyLabel(key)
    const parts = packKeyed(label)
    return this.#tokens.submit({ name: 'check-value', role: key.role, label, parts, signal: options?.signal })
  }

  /**
   * The key's known answer as the token computes it now, the same on two agents where two are ready: the value to
   * register for a version that has none yet. 32 bytes. Not for KEKs.
   */
  async knownAnswer(key: MasterKeyRef, options?: CallOptions): Promise<Buffer> {
    if (key.role === 'kek') throw new TypeError('a KEK has no known answer: its check is the record registered with it')
    const label = keyLabel(key)
    const submission = { role: key.role, label, parts: packKeyed(label), signal: options?.signal }
    return agreed(this.#tokens, { ...submission, name: 'known-answer' }, this.#emit)
  }

  /**
   * From now on this key is used only with this check value and, if given, this known answer; any other value is
   * KEY_MISMATCH. Each probe checks this too.
   */
  expectCheckValue(key: MasterKeyRef, kcv: Uint8Array, knownAnswer?: Uint8Array | null): void {
    if (key.role === 'kek') throw new TypeError('a KEK has no check value: use expectKekRecord')
    if (kcv.length !== KCV_LENGTH) throw new TypeError(`a check value has ${KCV_LENGTH} bytes`)
    const label = keyLabel(key)
    const value = Buffer.from(kcv)
    if (knownAnswer != null && knownAnswer.length !== KNOWN_ANSWER_LENGTH) {
      throw new TypeError(`a known answer has ${KNOWN_ANSWER_LENGTH} bytes`)
    }
    this.#checkValues.set(label, value)
    this.#tokens.expectKey({ label, kcv: value.toString('hex'), answer: hex(knownAnswer ?? undefined) })
    for (const { prober } of this.#tokens.list) prober.add(label, value)
  }

  /** From now on this KEK is used only if it opens this record, which KeyAdmin made with it. */
  expectKekRecord(kek: KekRef, record: Uint8Array, ckaId?: Uint8Array): void {
    if (record.length !== WRAPPED_LENGTH) throw new TypeError(`a check record has ${WRAPPED_LENGTH} bytes`)
    const label = keyLabel({ role: 'kek', suite: 1, ...kek })
    this.#tokens.expectKey({ label, record: Buffer.from(record).toString('hex'), ckaId: hex(ckaId) })
    for (const { prober } of this.#tokens.list) prober.add(label, undefined)
  }

  /**
   * For a destroyed key: probes no longer ask for it, and health() does not name it. A later call of an `expect…`
   * method does not change this. Its check value stays known: a key that reappears under this label is used only if it
   * is the same.
   */
  forget(key: MasterKeyRef): void {
    const label = keyLabel(key)
    for (const { prober } of this.#tokens.list) prober.forget(label)
  }

  /**
   * The state of an expected key on each token. Asks the token now, unless the key was right at its last comparison and
   * the token can serve. The fleet may seal with the key only if every token answers `ok`. Never rejects because of a
   * token; throws RangeError when no check value or record is expected of the key.
   */
  async keyOnTokens(key: MasterKeyRef): Promise<readonly KeyOnToken[]> {
    const label = keyLabel(key)
    return Promise.all(
      this.#tokens.list.map(async ({ name, prober }) => ({ token: name, state: await prober.stateOf(label) })),
    )
  }

  /** Compares all expected keys now, on every agent of every token; the outcome is in health().keys. */
  async probe(): Promise<PoolHealth> {
    await Promise.all(this.#tokens.list.map(({ prober }) => prober.run()))
    return this.health()
  }

  health(): PoolHealth {
    return healthOf(this.#tokens)
  }

  stats(): Readonly<PoolStats> {
    return structuredClone(this.#stats)
  }

  /**
   * Takes no more operations, waits up to 5 s for those in progress, then ends the agents. Resolves when all have
   * ended.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#tokens.close(() => {
      clearInterval(this.#timer)
    })
    this.#guard.wipe()
  }
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex')
}

/** Absent and undefined options keep their defaults. */
function defined(options: PoolOptions): Partial<typeof DEFAULTS> {
  const names = Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])))
}
