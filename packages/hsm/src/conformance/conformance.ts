import { randomBytes, randomUUID } from 'node:crypto'

import { wipe } from '@sealfleet/format'

import { openKeyAdmin, type KeyAdmin, type KeyEvidence } from '../admin/key-admin.js'
import type { MasterKeyRef } from '../contract.js'
import { profileOf } from '../errors/classify.js'
import type { TokenOptions } from '../options.js'
import { HsmPool } from '../pool/hsm-pool.js'
import { attributesHonoured } from './attributes.js'
import type { Check, ConformanceReport } from './report.js'

const CALLERS = [1, 4, 16]
const DERIVES = 'derives 32 bytes, the same on every session'

export interface ConformanceOptions {
  /** Measuring time of each rate. Default 1,000 ms. */
  readonly measureMs?: number
}

/** Thrown by a check if the token lacks a feature it needs. */
class Absent extends Error {}

/**
 * Tests a token with everything Sealfleet does to one: makes keys in its own key domain, uses them through a pool,
 * provokes errors, and destroys the keys again. Rejects with HsmError when the token cannot be opened at all; later
 * failures are in the report.
 */
export async function conformance(token: TokenOptions, options: ConformanceOptions = {}): Promise<ConformanceReport> {
  await using admin = await openKeyAdmin(token)
  const run = new Run(admin)
  try {
    await run.checkKeys()
    await using pool = await HsmPool.open({ tokens: [token] })
    await run.checkDerivation(pool)
    await run.checkNonces(pool)
    await run.checkDestruction(pool)
    const rates = run.derives ? await run.measure(pool, options.measureMs ?? 1_000) : {}
    return await run.report(rates)
  } finally {
    await run.cleanUp()
  }
}

class Run {
  readonly #admin: KeyAdmin
  readonly #checks: Check[] = []
  readonly #domain = randomUUID()
  readonly #enc: MasterKeyRef = { role: 'enc', domain: this.#domain, suite: 1, version: 1 }
  readonly #doomed: MasterKeyRef = { role: 'sig', domain: this.#domain, suite: 1, version: 2 }
  readonly #kek: MasterKeyRef = { role: 'kek', domain: this.#domain, suite: 1, version: 1 }
  #evidence: KeyEvidence | undefined

  constructor(admin: KeyAdmin) {
    this.#admin = admin
  }

  get failed(): boolean {
    return this.#checks.some(({ outcome }) => outcome === 'failed')
  }

  /** Whether the throughput can be measured. */
  get derives(): boolean {
    return this.#outcomeOf(DERIVES) === 'ok'
  }

  async checkKeys(): Promise<void> {
    await this.#check('makes a signing master', async () => {
      this.#evidence = await this.#make(this.#enc)
      return this.#evidence.problems.join('; ')
    })
    await this.#check('refuses what a master key must refuse', () => {
      const problems = this.#evidence?.problems ?? ['there is no key']
      if (problems.length > 0) throw new Error(problems.join('; '))
      const wrapping = this.#evidence?.refusals.wrap.map(({ mechanism }) => mechanism) ?? []
      return Promise.resolve(wrapping.length === 0 ? 'no wrapping mechanism to try' : `tried ${wrapping.join(', ')}`)
    })
    await this.#check('restricts the key to its mechanism', () => {
      const allowed = this.#evidence?.attributes['ALLOWED_MECHANISMS']
      if (!Array.isArray(allowed) || allowed.length === 0) throw new Absent('no CKA_ALLOWED_MECHANISMS')
      return Promise.resolve('')
    })
    await this.#check('shows one key under one label', async () => {
      await expectCode('KEY_EXISTS', this.#admin.generate(this.#enc))
      const listed = (await this.#admin.list()).filter(({ label }) => label === this.#evidence?.label)
      if (listed.length !== 1) throw new Error(`${listed.length} keys`)
      if (listed[0]?.kcv !== this.#evidence?.kcv) throw new Error('another check value in the list')
      return ''
    })
  }

  async checkDerivation(pool: HsmPool): Promise<void> {
    await this.#check(DERIVES, async () => {
      const message = randomBytes(32)
      const answers = await Promise.all(Array.from({ length: 24 }, () => pool.hmac(this.#enc, message)))
      const distinct = new Set(answers.map((answer) => answer.toString('hex')))
      if (distinct.size !== 1) throw new Error(`${distinct.size} different answers`)
      const other = await pool.hmac(this.#enc, randomBytes(32))
      if (distinct.has(other.toString('hex'))) throw new Error('two messages with one answer')
      return ''
    })
    await this.#check('computes the check value that was recorded', async () => {
      const kcv = (await pool.keyCheckValue(this.#enc)).toString('hex')
      if (kcv !== this.#evidence?.kcv) throw new Error(`${kcv}, recorded ${String(this.#evidence?.kcv)}`)
      return ''
    })
    await this.#check('blocks a key with another check value', async () => {
      const right = await pool.keyCheckValue(this.#enc)
      pool.expectCheckValue(this.#enc, Buffer.alloc(right.length))
      await expectCode('KEY_MISMATCH', pool.hmac(this.#enc, randomBytes(32)))
      pool.expectCheckValue(this.#enc, right)
      await pool.hmac(this.#enc, randomBytes(32))
      return ''
    })
    await this.#check('says that an unknown key is unknown', async () => {
      await expectCode('E_KEY_UNKNOWN', pool.hmac({ ...this.#enc, version: 99 }, randomBytes(32)))
      return ''
    })
  }

  async checkNonces(pool: HsmPool): Promise<void> {
    const aad = Buffer.alloc(74)
    aad.write('SFV1/nonces')
    await this.#check('wraps and opens nonces', async () => {
      if (!(await this.#admin.tokenInfo()).mechanisms.gcm) throw new Absent('no CKM_AES_GCM')
      await this.#make(this.#kek)
      const nonces = randomBytes(64)
      const wrapped = await pool.wrap(this.#kek, nonces, aad)
      if (!(await pool.unwrap(this.#kek, wrapped, aad)).equals(nonces)) throw new Error('other nonces came back')
      const changed = Buffer.from(wrapped)
      changed[40] = (changed[40] ?? 0) ^ 1
      await expectCode('E_NONCE_UNWRAP', pool.unwrap(this.#kek, changed, aad))
      return ''
    })
  }

  async checkDestruction(pool: HsmPool): Promise<void> {
    await this.#check('destroys a key in use for all processes', async () => {
      await this.#make(this.#doomed)
      await pool.hmac(this.#doomed, randomBytes(32))
      await this.#admin.destroy(this.#doomed)
      await expectCode('E_KEY_UNKNOWN', pool.hmac(this.#doomed, randomBytes(32)))
      await pool.hmac(this.#enc, randomBytes(32))
      return ''
    })
  }

  async measure(pool: HsmPool, ms: number): Promise<Record<string, number>> {
    const rates: Record<string, number> = {}
    const message = randomBytes(32)
    for (const callers of CALLERS) {
      let done = 0
      const begun = performance.now()
      const caller = async () => {
        while (performance.now() - begun < ms) {
          wipe(await pool.hmac(this.#enc, message))
          done += 1
        }
      }
      await Promise.all(Array.from({ length: callers }, caller))
      rates[String(callers)] = Math.round(done / ((performance.now() - begun) / 1000))
    }
    return rates
  }

  async report(rates: Record<string, number>): Promise<ConformanceReport> {
    const usable = {
      sealing: !this.failed,
      detachedNonces: this.#outcomeOf('wraps and opens nonces') === 'ok',
      evidence: this.#outcomeOf('refuses what a master key must refuse') === 'ok',
    }
    const token = await this.#admin.tokenInfo()
    const attributes = this.#evidence === undefined ? {} : attributesHonoured(this.#evidence)
    const profile = profileOf(token.token)
    const vendor = profile === undefined ? null : { title: profile.title, tried: profile.tried, notes: profile.notes }
    return { token, vendor, attributes, checks: this.#checks, rates, usable, passed: !this.failed }
  }

  /** Destroys the keys it made. A key that is already gone is no failure; other failures are thrown. */
  async cleanUp(): Promise<void> {
    const left = (await this.#admin.list()).filter(({ ref }) => ref.domain === this.#domain)
    for (const { ref, ckaId } of left) await this.#admin.destroy(ref, { ckaId })
  }

  #outcomeOf(name: string): Check['outcome'] | undefined {
    return this.#checks.find((check) => check.name === name)?.outcome
  }

  async #make(ref: MasterKeyRef): Promise<KeyEvidence> {
    return this.#admin.generate(ref, { acceptUnsound: true })
  }

  async #check(name: string, check: () => Promise<string>): Promise<void> {
    try {
      this.#checks.push({ name, outcome: 'ok', detail: await check() })
    } catch (error) {
      const outcome = error instanceof Absent ? 'absent' : 'failed'
      this.#checks.push({ name, outcome, detail: error instanceof Error ? error.message : String(error) })
    }
  }
}

async function expectCode(code: string, call: Promise<unknown>): Promise<void> {
  const outcome: unknown = await call.then(
    () => 'it was accepted',
    (error: unknown) => error,
  )
  if (outcome instanceof Error && 'code' in outcome && outcome.code === code) return
  throw new Error(`wanted ${code}: ${outcome instanceof Error ? outcome.message : String(outcome)}`, { cause: outcome })
}
