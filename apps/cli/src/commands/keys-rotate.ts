import type { KeyAdmin } from '@sealfleet/hsm'
import {
  listMasterKeys,
  underLoginLock,
  type DomainPolicy,
  type KeyRow,
  type Records,
  type Role,
  type Suite,
} from '@sealfleet/records'
import { Option, type Command } from 'commander'
import { CliError } from '../cli-error.js'
import type { CommandContext, CommonOptions } from '../context.js'
import { EXIT } from '../exit-status.js'
import { activateAll, carryOut } from '../keys/carry-out.js'
import { planRotation, type KeyStep } from '../keys/plan.js'
import { reportOf, reportTable, type KeyReport } from '../keys/report.js'
import { assertSound, compareKeys } from '../keys/token-keys.js'
import { findDomain } from '../services/domains.js'
import { openAdmin } from '../services/hsm.js'
import { openDatabase } from '../services/records.js'
import { commonOptions, perform, type Runner } from '../verb.js'

interface RotateOptions extends CommonOptions {
  readonly domain: string
  readonly role: 'files' | 'enc' | 'sig' | 'kek' | 'audit'
}

export function rotateVerb(keys: Command, runner: Runner): void {
  const rotate = keys
    .command('rotate')
    .description('make a new version of a domain’s master keys in the HSM, and seal new files with it from now on')
    .option('--domain <id|name>', 'the key domain', 'default')
    .addOption(
      new Option('--role <role>', 'which keys: those of files (enc and sig), or one role')
        .choices(['files', 'enc', 'sig', 'kek', 'audit'])
        .default('files'),
    )
    .addHelpText(
      'after',
      `
Workers take the new version with their next file, without a restart; files under way finish under the version they began
with. The old version becomes DECRYPT_ONLY: its files stay readable and are not touched. Of two rotations at once, one wins.
Take a backup of the HSM afterwards, before you rely on the new version.`,
    )
  perform<RotateOptions>(commonOptions(rotate, { changes: true }), runner, rotateAction)
}

async function rotateAction(context: CommandContext, _args: readonly string[], o: RotateOptions): Promise<void> {
  const config = context.settings.load(['database', 'hsm'])
  const records = await openDatabase(context, config)
  const domain = await findDomain(records, o.domain)
  // Read before our turn comes: a rotation that was faster is then found, not repeated.
  const before = await activeRows(records, domain, o)
  const admin = await openAdmin(config)
  context.defer(() => admin.close())
  const lock = { tokenSerial: 'keys init', pinId: domain.id }
  const reports = o.dryRun
    ? await rotate(context, records, admin, domain, before, true)
    : await underLoginLock(records, lock, () => rotate(context, records, admin, domain, before, false))
  await context.print.document({ domain: domain.id, suite: domain.suite, dryRun: o.dryRun === true, keys: reports })
  await context.print.text(reportTable(reports, o))
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

/** Files are sealed by a pair of one suite: when the domain's has changed, enc and sig change together or not at all. */
function assertBothWhenSuiteChanges(domain: DomainPolicy, active: KeyRow, { role }: RotateOptions): void {
  if ((role !== 'enc' && role !== 'sig') || active.suite === domain.suite) return
  const message = `domain ${domain.name} is now of suite ${domain.suite}, its active keys are of suite ${active.suite}: enc and sig change together`
  throw new CliError('BAD_STATE', message, {
    exitStatus: EXIT.failed,
    fix: `sealfleet keys rotate --domain ${domain.name}`,
  })
}

async function rotate(
  context: CommandContext,
  records: Records,
  admin: KeyAdmin,
  domain: DomainPolicy,
  before: readonly KeyRow[],
  dryRun: boolean,
): Promise<readonly KeyReport[]> {
  const token = await admin.list()
  const reports: KeyReport[] = []
  // All plans first: nothing is made when one of them can not be.
  const plans: { readonly steps: readonly KeyStep[]; readonly rows: readonly KeyRow[] }[] = []
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
    // A token that lost or changed the key in use must be looked at before it makes another.
    ;(await compareKeys(admin, [active], token)).forEach(assertSound)
    plans.push({ steps, rows })
  }
  const actor = `cli:${context.io.user}`
  for (const { steps, rows } of plans) {
    for (const step of steps) {
      context.signal.throwIfAborted()
      if (step.kind === 'activate') continue
      reports.push(reportOf(step, dryRun ? undefined : await carryOut(step, { records, admin, token, actor }), rows))
    }
  }
  // All at once: there is no moment in which enc and sig are of different suites.
  const activations = plans.flatMap(({ steps, rows }) =>
    steps.flatMap((step) => (step.kind === 'activate' ? [{ step, rows }] : [])),
  )
  const activated = dryRun
    ? []
    : await activateAll(
        records,
        activations.map(({ step }) => step),
        actor,
      )
  activations.forEach(({ step, rows }, i) => reports.push(reportOf(step, activated[i], rows)))
  return reports
}
