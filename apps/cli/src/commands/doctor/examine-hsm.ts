import type { Config } from '@sealfleet/config'
import { profileOf, type KeyAdmin, type PoolHealth, type PoolStats, type TokenReport } from '@sealfleet/hsm'
import { listDomains } from '@sealfleet/records/fleet'
import { listMasterKeys, type PinLockoutRow } from '@sealfleet/records/keys'
import type { KeyRow, Records } from '@sealfleet/records'
import { openHsmPool } from '@sealfleet/runtime'
import { CliError } from '../../cli-error.js'
import type { CommandContext } from '../../context.js'
import { statusOfCode } from '../../describe-error.js'
import { assertSound, compareKeys } from '../keys/token-keys.js'
import { openAdmin } from '../../services/hsm.js'
import { failed, ok, skipped, type CheckResult } from './check.js'
import { ReadOnlyPinLockout } from './read-only-pin-lockout.js'
import { FigureCounter, standbyFindings, type PoolFigures } from './pool-figures.js'
import { useOnce } from './trial.js'

/** What `doctor hsm` shows beside its findings. */
export interface HsmExamination {
  readonly findings: readonly CheckResult[]
  readonly token?: TokenReport & { readonly profile: string | null; readonly notes: readonly string[] }
  /** What the fleet knows of this PIN; null: nothing. */
  readonly pin?: PinLockoutRow | null
  readonly pool?: { readonly health: PoolHealth; readonly stats: PoolStats; readonly figures: PoolFigures }
}

/** Examines everything between this machine and the master keys. A rejected PIN is tried once. */
export async function examineHsm(
  context: CommandContext,
  config: Config<'hsm'>,
  records: Records | undefined,
): Promise<HsmExamination> {
  const lockout = new ReadOnlyPinLockout(records)
  let admin: KeyAdmin
  const began = performance.now()
  try {
    admin = await openAdmin(config, lockout)
    context.defer(() => admin.close())
  } catch (error) {
    return { findings: [failed('login', error, 'hsm'), ...pinFinding(lockout, records)], ...pinOf(lockout, records) }
  }
  const loginMs = performance.now() - began
  const report = await admin.tokenInfo()
  const profile = profileOf(report.token)
  const token = { ...report, profile: profile?.name ?? null, notes: profile?.notes ?? [] }
  const findings = [
    ...tokenFindings(report, profile?.title),
    { ...ok('login', `as the user, PIN "${config.hsm.pinId}", ${report.pin}`), ms: loginMs },
    ...pinFinding(lockout, records),
  ]
  if (records === undefined) {
    return {
      findings: [...findings, skipped('keys', 'the records are out of reach')],
      token,
      ...pinOf(lockout, records),
    }
  }
  findings.push(...(await nonceFindings(records, report)))
  const sound = await keyFindings(admin, records, findings)
  const pool = await poolFindings(context, config, lockout, sound, findings)
  return { findings, token, ...pinOf(lockout, records), ...(pool === undefined ? {} : { pool }) }
}

function tokenFindings({ token, limits, mechanisms, mechanismList }: TokenReport, vendor?: string): CheckResult[] {
  const listed = `${mechanismList.length} listed, AES-GCM ${mechanisms.gcm ? 'yes' : 'no'}`
  const noHmac = new CliError('HSM_ACCESS_DENIED', 'the token lists no CKM_SHA256_HMAC', {
    exitStatus: statusOfCode('HSM_ACCESS_DENIED'),
    fix: 'use another token, or allow the mechanism in its policy: nothing can be derived without it',
  })
  const sessions = `${limits.sessions ?? '?'} open of ${limits.maxSessions ?? 'no stated limit'}`
  return [
    ok('module', `${token.module} ${token.moduleVersion}${vendor === undefined ? '' : `, profile ${vendor}`}`),
    ok('token', `${token.label}: ${token.manufacturer} ${token.model}, serial ${token.serial}`),
    ok('firmware', `${token.firmware}, hardware ${token.hardware}`),
    mechanisms.hmac ? ok('mechanisms', `HMAC-SHA-256 yes, ${listed}`) : failed('mechanisms', noHmac, 'hsm'),
    ok('limits', `sessions ${sessions}; PIN of ${limits.minPinLength} to ${limits.maxPinLength}`),
  ]
}

function pinOf(lockout: ReadOnlyPinLockout, records: Records | undefined): Pick<HsmExamination, 'pin'> {
  return records === undefined || lockout.seen === undefined ? {} : { pin: lockout.known ?? null }
}

function pinFinding({ seen, known }: ReadOnlyPinLockout, records: Records | undefined): CheckResult[] {
  if (seen === undefined) return []
  if (records === undefined) return [skipped('PIN lockout', 'the records are out of reach')]
  const name = `PIN "${seen.pinId}" of ${seen.serial}`
  if (known === undefined) return [ok('PIN lockout', `${name}: not tried by a worker yet`)]
  const when = `${known.setAt.toISOString()} by ${known.setBy}`
  if (known.state === 'proven') return [ok('PIN lockout', `${name}: proven ${when}`)]
  const error = new CliError('HSM_ACCESS_DENIED', `${name}: rejected ${when}; the fleet does not try it again`, {
    exitStatus: statusOfCode('HSM_ACCESS_DENIED'),
    fix: `correct the PIN, then: sealfleet doctor pin reset ${seen.serial} ${seen.pinId} --reason TEXT`,
  })
  return [failed('PIN lockout', error)]
}

/** Detached nonces need AES-GCM in the token. */
async function nonceFindings(records: Records, { mechanisms }: TokenReport): Promise<CheckResult[]> {
  const detached = (await listDomains(records)).filter(({ nonceMode }) => nonceMode === 'detached')
  if (detached.length === 0 || mechanisms.gcm) return []
  const names = detached.map(({ name }) => name).join(', ')
  const error = new CliError('HSM_ACCESS_DENIED', `no usable AES-GCM, but detached nonces in ${names}`, {
    exitStatus: statusOfCode('HSM_ACCESS_DENIED'),
    fix: 'use a token with CKM_AES_GCM for these domains, or inline nonces',
  })
  return [failed('nonces', error)]
}

/** Compares each registered key with the token and returns the keys that may be used. */
async function keyFindings(admin: KeyAdmin, records: Records, findings: CheckResult[]): Promise<KeyRow[]> {
  const rows = await listMasterKeys(records)
  if (rows.length === 0) {
    const fix = 'sealfleet keys init'
    findings.push(
      failed(
        'keys',
        new CliError('NO_ACTIVE_KEY', 'no master key is registered', {
          exitStatus: statusOfCode('NO_ACTIVE_KEY'),
          fix,
        }),
      ),
    )
  }
  const sound: KeyRow[] = []
  try {
    const inToken = rows.length === 0 ? [] : await admin.list()
    for (const key of rows) {
      const check = `key ${key.label}`
      const began = performance.now()
      try {
        const [comparison] = await compareKeys(admin, [key], inToken)
        if (comparison === undefined) continue
        const ms = performance.now() - began
        assertSound(comparison)
        if (comparison.outcome === 'nothing to compare') throw nothingToCompare(key)
        const gone = comparison.outcome === 'destroyed'
        findings.push({ ...ok(check, `${key.state}, ${gone ? 'gone, as it must be' : 'check value right'}`), ms })
        if (!gone) sound.push(key)
      } catch (error) {
        findings.push(failed(check, error, 'hsm'))
      }
    }
  } catch (error) {
    findings.push(failed('keys', error, 'hsm'))
  }
  return sound
}

function nothingToCompare({ label, state }: KeyRow): CliError {
  return new CliError('KEY_MISMATCH', `${label} is ${state} without a check value, so it cannot be checked`, {
    exitStatus: statusOfCode('KEY_MISMATCH'),
    fix: 'find out where the record came from; register the key again from its evidence',
  })
}

/** Opens a pool of one agent as a worker would, and uses every sound key once. */
async function poolFindings(
  context: CommandContext,
  config: Config<'hsm'>,
  lockout: ReadOnlyPinLockout,
  keys: readonly KeyRow[],
  findings: CheckResult[],
): Promise<HsmExamination['pool']> {
  const { sessions } = config.hsm
  try {
    const counter = new FigureCounter()
    const { onEvent } = counter
    const began = performance.now()
    const pool = await openHsmPool(config, { agents: 1, sessions, lockout, onEvent })
    const ms = performance.now() - began
    context.defer(() => pool.close())
    const opened = pool.health().agents[0]?.sessions ?? 0
    findings.push(
      opened >= sessions ? { ...ok('sessions', `${opened} opened, with one login`), ms } : few(opened, sessions),
    )
    for (const key of keys) {
      const check = `use ${key.label}`
      try {
        findings.push({
          ...ok(check, key.role === 'kek' ? 'wraps and opens' : 'derives; result wiped'),
          ms: await useOnce(pool, key),
        })
      } catch (error) {
        findings.push(failed(check, error, 'hsm'))
      }
    }
    const figures = await counter.of(pool)
    findings.push(...standbyFindings(figures))
    return { health: pool.health(), stats: pool.stats(), figures }
  } catch (error) {
    findings.push(failed('sessions', error, 'hsm'))
    return undefined
  }
}

function few(opened: number, wanted: number): CheckResult {
  const error = new CliError('HSM_BUSY', `the token gave ${opened} of ${wanted} sessions`, {
    exitStatus: statusOfCode('HSM_BUSY'),
    fix: 'lower SEALFLEET_HSM_SESSIONS, close sessions of other programs, or raise the limit of the token',
  })
  return failed('sessions', error)
}
