import { createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { freshToken, type FreshToken } from '@sealfleet/testkit'
import { expect } from 'vitest'

import { HsmPool } from '../src/pool/hsm-pool.js'
import { openKeyAdmin } from '../src/admin/key-admin.js'
import type { HsmEvent, RestartReason } from '../src/events.js'
import type { MasterKeyRef } from '../src/contract.js'
import type { PoolOptions, TokenOptions } from '../src/options.js'

export const ENC: MasterKeyRef = { role: 'enc', domain: 'default', suite: 1, version: 1 }
export const SIG: MasterKeyRef = { role: 'sig', domain: 'default', suite: 1, version: 1 }
export const KEK: MasterKeyRef = { role: 'kek', domain: 'default', suite: 1, version: 1 }

export function tokenOptions(token: FreshToken, more: Partial<TokenOptions> = {}): TokenOptions {
  return {
    module: token.module,
    token: token.label,
    pin: { kind: 'file', path: token.pinFile },
    env: token.env,
    ...more,
  }
}

/** A SoftHSM token of this test's own with these master keys in it. */
export async function tokenWithKeys(...keys: readonly MasterKeyRef[]): Promise<FreshToken> {
  const token = await freshToken()
  try {
    await using admin = await openKeyAdmin(tokenOptions(token))
    for (const key of keys) await admin.generate(key)
    return token
  } catch (error) {
    await token[Symbol.asyncDispose]()
    throw error
  }
}

/** A pool that keeps its events. Timings are short where a test waits for them, and otherwise the defaults. */
export class ObservedPool implements AsyncDisposable {
  readonly events: HsmEvent[]
  readonly pool: HsmPool
  readonly #listeners: Set<() => void>

  private constructor(pool: HsmPool, events: HsmEvent[], listeners: Set<() => void>) {
    this.pool = pool
    this.events = events
    this.#listeners = listeners
  }

  static async open(token: TokenOptions, options: Partial<PoolOptions> = {}): Promise<ObservedPool> {
    const events: HsmEvent[] = []
    const listeners = new Set<() => void>()
    const onEvent = (event: HsmEvent) => {
      events.push(event)
      for (const listener of [...listeners]) listener()
    }
    return new ObservedPool(await HsmPool.open({ tokens: [token], onEvent, ...options }), events, listeners)
  }

  count<T extends HsmEvent['type']>(
    type: T,
    where: (event: Extract<HsmEvent, { type: T }>) => boolean = () => true,
  ): number {
    return this.events.filter((event) => event.type === type && where(event as Extract<HsmEvent, { type: T }>)).length
  }

  /** Resolves when the condition holds, looked at after every event. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const listener = () => {
          this.#listeners.delete(listener)
          resolve()
        }
        this.#listeners.add(listener)
      })
    }
  }

  /** Resolves when this many agents (2) are ready. */
  async allReady(agents = 2): Promise<void> {
    await this.until(() => this.readyAgents().length >= agents)
  }

  /** What was restarted and how often anybody logged in since the pool was opened, exactly. */
  expectHealedBy(restarts: Partial<Record<RestartReason, number>>, logins: number): void {
    const stats = this.pool.stats()
    expect({ restarts: stats.restarts, logins: stats.logins }).toEqual({ restarts, logins })
  }

  readyAgents(): { index: number; pid: number }[] {
    return this.pool
      .health()
      .agents.flatMap(({ index, pid, state }) => (state === 'ready' && pid !== undefined ? [{ index, pid }] : []))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close()
  }
}

/**
 * Answers of a key by message, from a quiet pool: what a test under faults compares with. (A master key's value can't be
 * read, so there is no other oracle.)
 */
export async function knownAnswers(pool: HsmPool, key: MasterKeyRef, count: number): Promise<Map<Buffer, Buffer>> {
  const answers = new Map<Buffer, Buffer>()
  for (let i = 0; i < count; i += 1) {
    const message = randomBytes(32)
    answers.set(message, await pool.hmac(key, message))
  }
  return answers
}

export interface Tally {
  readonly right: number
  readonly wrong: number
  /** Codes. */
  readonly failed: readonly string[]
}

/** All messages at once; how many answers were right, wrong, and failed with what. */
export async function tallyOf(pool: HsmPool, key: MasterKeyRef, answers: ReadonlyMap<Buffer, Buffer>): Promise<Tally> {
  const tally = { right: 0, wrong: 0, failed: [] as string[] }
  await Promise.all(
    [...answers].map(async ([message, expected]) => {
      try {
        if (expected.equals(await pool.hmac(key, message))) tally.right += 1
        else tally.wrong += 1
      } catch (error) {
        tally.failed.push(String(error instanceof Error && 'code' in error ? error.code : error))
      }
    }),
  )
  return tally
}

export interface Load {
  readonly ok: number
  readonly wrong: number
  readonly failures: readonly unknown[]
}

/** Runs `callers` callers, one operation after another each, until `stop` resolves; counts right, wrong and failed answers. */
export async function loadUntil(
  pool: HsmPool,
  key: MasterKeyRef,
  answers: ReadonlyMap<Buffer, Buffer>,
  callers: number,
  stop: Promise<unknown>,
): Promise<Load> {
  const load = { ok: 0, wrong: 0, failures: [] as unknown[] }
  let stopped = false
  const stopping = stop.finally(() => (stopped = true))
  const caller = async () => {
    while (!stopped) {
      for (const [message, expected] of answers) {
        if (stopped) return
        try {
          if (expected.equals(await pool.hmac(key, message))) load.ok += 1
          else load.wrong += 1
        } catch (error) {
          load.failures.push(error)
        }
      }
    }
  }
  await Promise.all([stopping, ...Array.from({ length: callers }, caller)])
  return load
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    throw error
  }
}

/** State of a process by /proc: `T` stopped, `Z` ended and not yet reaped, … */
export async function processState(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
}

export function kcvOf(masterKey: Buffer): Buffer {
  return createHmac('sha256', masterKey).update('SFV1-KCV-v1').digest().subarray(0, 8)
}
