import { hsmTokens, type Config } from '@sealfleet/config'
import { createSealer, freshNonces, keyLabel, wipe } from '@sealfleet/format'
import { tokenName, type HsmPool, type KeyAdmin } from '@sealfleet/hsm'
import { activeKeys, listMasterKeys } from '@sealfleet/records/keys'
import { listDomains } from '@sealfleet/records/fleet'
import type { DomainPolicy, KeyRow, Records } from '@sealfleet/records'
import { randomUUID } from 'node:crypto'
import type { CommandContext } from '../../context.js'
import { describeError } from '../../describe-error.js'
import { assertSound, compareKeys, compareToken, UNUSABLE } from '../keys/token-keys.js'
import { openAdmin, openPool } from '../../services/hsm.js'
import { failed, ok, skipped, warning, type CheckResult } from './check.js'
import { ReadOnlyPinLockout } from './read-only-pin-lockout.js'

/**
 * The primary accepts the login, holds the registered keys, and derives with every active one; the secondaries hold
 * them too.
 */
export async function checkHsm(
  context: CommandContext,
  config: Config<'hsm'>,
  records: Records | undefined,
): Promise<readonly CheckResult[]> {
  // Reads the fleet's PIN lockout and never writes it. A wrong PIN is not tried again, since tokens lock.
  const lockout = new ReadOnlyPinLockout(records)
  let admin: KeyAdmin
  try {
    admin = await openAdmin(config, lockout)
    context.defer(() => admin.close())
  } catch (error) {
    return [failed('hsm', error, 'hsm')]
  }
  const { token } = await admin.tokenInfo()
  const findings: CheckResult[] = [ok('hsm', `token ${config.hsm.token}, serial ${token.serial}`)]
  if (records === undefined) return [...findings, skipped('keys', 'the records are out of reach')]
  const rows = await listMasterKeys(records)
  findings.push(...(await checkValues(admin, rows)), ...(await checkSecondaries(config, lockout, rows)))
  try {
    const pool = await openPool(config, lockout)
    context.defer(() => pool.close())
    for (const domain of await listDomains(records)) findings.push(await derive(pool, records, domain))
  } catch (error) {
    findings.push(failed('derivation', error, 'hsm'))
  }
  return findings
}

async function checkValues(admin: KeyAdmin, rows: readonly KeyRow[]): Promise<readonly CheckResult[]> {
  if (rows.length === 0) return [warning('keys', 'no master key is registered', 'sealfleet keys init')]
  const findings: CheckResult[] = []
  for (const comparison of await compareKeys(admin, rows, await admin.list())) {
    const { key, outcome } = comparison
    const check = `key ${keyLabel(key)}`
    try {
      assertSound(comparison)
      findings.push(
        outcome === 'nothing to compare'
          ? warning(check, `${key.state}, has nothing to compare with`, 'sealfleet keys list')
          : ok(check, `${key.state}, check value ${outcome === 'destroyed' ? 'gone, as it must be' : 'right'}`),
      )
    } catch (error) {
      findings.push(failed(check, error))
    }
  }
  return findings
}

/** A secondary that cannot serve every key is no outage, but a warning: a failover to it would fail. */
async function checkSecondaries(
  config: Config<'hsm'>,
  lockout: ReadOnlyPinLockout,
  rows: readonly KeyRow[],
): Promise<readonly CheckResult[]> {
  const findings: CheckResult[] = []
  // One after the other: tokens may share a PIN's lockout.
  for (const [index, token] of hsmTokens(config).entries()) {
    if (index === 0) continue
    const check = `hsm ${tokenName(index)}`
    try {
      const { comparisons } = await compareToken(token, lockout, rows)
      const unusable = comparisons.filter(({ outcome }) => UNUSABLE.includes(outcome))
      const named = unusable.map(({ key, outcome }) => `${keyLabel(key)}: ${outcome}`)
      findings.push(
        unusable.length === 0
          ? ok(check, `token ${token.token}, ${rows.length} keys compared`)
          : warning(
              check,
              `token ${token.token}: ${named.join('; ')}`,
              'sealfleet keys check; put the right keys there',
            ),
      )
    } catch (error) {
      const { code, message, fix } = describeError(error, 'hsm')
      findings.push(warning(check, `token ${token.token}: ${code}: ${message}`, fix ?? 'bring it back'))
    }
  }
  return findings
}

/** Derives with the domain's active keys exactly as an attempt does, but without an attempt. */
async function derive(pool: HsmPool, records: Records, domain: DomainPolicy): Promise<CheckResult> {
  const check = `derivation ${domain.name}`
  const nonces = freshNonces()
  try {
    const { enc, sig } = await activeKeys(records, domain.id)
    for (const key of [enc, sig])
      if (key.checkValue !== null) pool.expectCheckValue(key, key.checkValue, key.knownAnswer)
    const identity = { fileId: randomUUID(), attemptId: randomUUID(), attemptNo: 0, createdMs: 0, keyDomain: domain.id }
    const began = performance.now()
    using sealer = await createSealer(
      {
        ...identity,
        ...nonces,
        suite: enc.suite,
        encKeyVersion: enc.version,
        sigKeyVersion: sig.version,
        kekVersion: 0,
        segLog2: domain.segLog2,
        context: Buffer.alloc(0),
      },
      pool.confirmed(),
    )
    const took = (performance.now() - began).toFixed(1)
    return ok(
      check,
      `suite ${enc.suite}, enc ${enc.version}, sig ${sig.version}: ${sealer.htag.length * 8} bits in ${took} ms`,
    )
  } catch (error) {
    return failed(check, error, 'hsm')
  } finally {
    wipe(nonces.nonceEnc, nonces.nonceSig)
  }
}
