import type { Role, Suite } from '@sealfleet/format'
import type { KeyAdmin, KeyListing } from '@sealfleet/hsm'
import { listLiveWorkers } from '@sealfleet/records/upkeep'
import { listMasterKeys } from '@sealfleet/records/keys'
import type { DomainPolicy, KeyRow, Records } from '@sealfleet/records'
import { Option, type Command } from 'commander'
import { CliError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT } from '../../exit-status.js'
import { assertMadeHere } from './made-here.js'
import { planRotation } from '@sealfleet/keys'
import { reportTable } from './report.js'
import type { RolePlan } from './role-plan.js'
import { assertSound, compareKeys } from './token-keys.js'
import {
  activate,
  confirmed,
  dryRunReport,
  prepare,
  underKeysLock,
  waitOptions,
  type TwoPhaseOptions,
} from './two-phase.js'
import { count } from '../../output/units.js'
import { findDomain } from '../../input/domains.js'
import { fleetLockout, openAdmin } from '../../services/hsm.js'
import { requireReasonIfGiven } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface RotateOptions extends CommonOptions, TwoPhaseOptions {
  readonly domain: string
  readonly role: 'files' | 'enc' | 'sig' | 'kek' | 'audit'
  readonly reason?: string
}

export function rotateVerb(keys: Command, runner: Runner): void {
  const rotate = keys
    .command('rotate')
    .description('create a new version of a domain’s master keys in the HSM, and seal new files with it')
    .option('--domain <id|name>', 'the key domain', 'default')
    .addOption(
      new Option('--role <role>', 'which keys: those of files (enc and sig), or one role')
        .choices(['files', 'enc', 'sig', 'kek', 'audit'])
        .default('files'),
    )
    .option('--reason <text>', 'for the audit log: on schedule, or the old version may be compromised')
    .addHelpText(
      'after',
      `
The new version is made and registered as PENDING first. Every running worker looks for it on every token it uses, primary and
secondaries. When all have found the right key there it becomes active, so no worker seals with a key that is not everywhere
yet. With secondary tokens, copy the new key to them while this waits. When the time runs out the version stays PENDING and
the error names which worker lacks what; the same command continues with it later.

Workers take the new version with their next file, without a restart; files under way finish under the version they began
with. The old version becomes DECRYPT_ONLY: its files stay readable and are not touched. Of two rotations at once, one wins.
Take a backup of the HSM afterwards, before you rely on the new version.`,
    )
  perform<RotateOptions>(waitOptions(commonOptions(rotate, { changes: true })), runner, rotateAction)
}

async function rotateAction(context: CommandContext, _args: readonly string[], o: RotateOptions): Promise<void> {
  context.ifStopped('no key was made: run the same command again')
  const reason = requireReasonIfGiven(o.reason)
  const config = context.settings.load(['database', 'hsm'])
  const records = await openDatabase(context, config)
  const domain = await findDomain(records, o.domain)
  // Read before waiting for the lock, so that a faster rotation is detected and not repeated.
  const before = await activeRows(records, domain, o)
  const admin = await openAdmin(config, fleetLockout(context, records))
  context.defer(() => admin.close())
  const actor = `cli:${context.io.user}`
  if (o.dryRun === true) {
    const keys = dryRunReport(await plan(records, admin, await admin.list(), domain, before, o))
    const workers = (await listLiveWorkers(records)).map(({ id }) => id)
    await context.print.document({ domain: domain.id, suite: domain.suite, dryRun: true, keys, workers })
    await context.print.text(reportTable(keys, o))
    return context.print.note(`${count(workers.length, 'worker')} would have to confirm the new keys first`)
  }
  const prepared = await underKeysLock(context, records, domain.id, async () => {
    const token = await admin.list()
    const plans = await plan(records, admin, token, domain, before, o)
    return prepare(context, plans, { records, admin, token, actor })
  })
  // Waiting may take long, and needs no session of the HSM.
  await admin.close()
  const confirmedBy = await confirmed(context, records, prepared, o)
  const keys = await underKeysLock(context, records, domain.id, (tx) =>
    activate(tx, prepared, { actor, reason, confirmedBy }),
  )
  await context.print.document({ domain: domain.id, suite: domain.suite, dryRun: false, keys, confirmedBy })
  await context.print.text(reportTable(keys, o))
}

/** The versions that are active now, one a role that is to be rotated. */
async function activeRows(records: Records, domain: DomainPolicy, o: RotateOptions): Promise<readonly KeyRow[]> {
  const roles: readonly Role[] = o.role === 'files' ? ['enc', 'sig'] : [o.role]
  const rows: KeyRow[] = []
  for (const role of roles) {
    const owner = role === 'audit' ? 'default' : domain.id
    const [active] = await listMasterKeys(records, { domain: owner, role, state: 'ACTIVE' })
    if (active === undefined) {
      const init = `sealfleet keys init${domain.id === 'default' ? '' : ` --domain ${domain.name}`}`
      throw new CliError('NO_ACTIVE_KEY', `domain ${domain.name} has no active ${role} key to take over from`, {
        exitStatus: EXIT.key,
        fix: `make its first keys with \`${init}${role === 'audit' ? ' --with-audit' : ''}\``,
      })
    }
    assertBothWhenSuiteChanges(domain, active, o)
    rows.push(active)
  }
  return rows
}

/** enc and sig must be of one suite: when the domain's suite has changed, both change together or not at all. */
function assertBothWhenSuiteChanges(domain: DomainPolicy, active: KeyRow, { role }: RotateOptions): void {
  if ((role !== 'enc' && role !== 'sig') || active.suite === domain.suite) return
  const message = `domain ${domain.name} is now of suite ${domain.suite}, its active keys are of suite ${active.suite}: enc and sig change together`
  throw new CliError('BAD_STATE', message, {
    exitStatus: EXIT.failed,
    fix: `sealfleet keys rotate --domain ${domain.name}`,
  })
}

/** Makes all plans before any step: nothing is created when one plan fails. */
async function plan(
  records: Records,
  admin: KeyAdmin,
  token: readonly KeyListing[],
  domain: DomainPolicy,
  before: readonly KeyRow[],
  o: RotateOptions,
): Promise<readonly RolePlan[]> {
  const plans: RolePlan[] = []
  for (const active of before) {
    const { role } = active
    const rows = await listMasterKeys(records, { domain: active.domain, role })
    const suite: Suite = role === 'enc' || role === 'sig' ? domain.suite : 1
    const steps = planRotation({ role, domain: active.domain, suite, rows, token })
    const last = steps.at(-1)
    if (last?.kind !== 'activate' || last.replaces !== active.version) {
      throw new CliError('BAD_STATE', `version ${active.version} of ${role} is not active any more`, {
        exitStatus: EXIT.failed,
        fix: 'another rotation was faster: see `sealfleet keys list`',
      })
    }
    // A token that lost or changed the active key must be examined before it creates another.
    ;(await compareKeys(admin, [active], token)).forEach(assertSound)
    plans.push({ steps, rows })
  }
  if (o.adoptKeys !== true) await assertMadeHere(records, plans)
  return plans
}
