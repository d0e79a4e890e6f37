import type { Role, Suite } from '@sealfleet/format'
import { type KeyListing } from '@sealfleet/hsm'
import { appendAudit } from '@sealfleet/records/audit'
import { ensureDomain } from '@sealfleet/records/fleet'
import { listMasterKeys } from '@sealfleet/records/keys'
import type { DomainPolicy, KeyRow, Records } from '@sealfleet/records'
import { Option, type Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { assertMadeHere } from './made-here.js'
import { planRole } from '@sealfleet/keys'
import { reportTable } from './report.js'
import type { RolePlan } from './role-plan.js'
import {
  activate,
  confirmed,
  dryRunReport,
  prepare,
  underKeysLock,
  waitOptions,
  type TwoPhaseOptions,
} from './two-phase.js'
import { table } from '../../output/table.js'
import { humanTime } from '../../output/units.js'
import { findDomain } from '../../input/domains.js'
import { fleetLockout, openAdmin } from '../../services/hsm.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { checkVerb } from './check.js'
import { destroyVerb } from './destroy/index.js'
import { destructionsVerb } from './destroy/destructions.js'
import { retireVerb } from './retire.js'
import { rotateVerb } from './rotate.js'

interface InitOptions extends CommonOptions, TwoPhaseOptions {
  readonly domain: string
  readonly suite?: string
  readonly withAudit?: boolean
  readonly withKek?: boolean
}

interface ListOptions extends CommonOptions {
  readonly domain?: string
}

export function keysVerbs(program: Command, runner: Runner): void {
  const keys = program.command('keys').description('create, list, check, rotate and destroy master keys in the HSM')

  const init = keys
    .command('init')
    .description(
      'create the first master keys of a domain: made in the HSM, recorded, and activated when every running worker has found ' +
        'them on its tokens. Safe to run again.',
    )
    .option('--domain <id|name>', 'the key domain', 'default')
    .addOption(new Option('--suite <n>', "the default domain's suite, when this creates it").choices(['1', '2']))
    .option('--with-audit', 'create the audit key too')
    .option('--with-kek', 'create a KEK too, which a domain needs before its nonces can be detached')
  perform<InitOptions>(waitOptions(commonOptions(init, { changes: true })), runner, initAction)

  rotateVerb(keys, runner)
  retireVerb(keys, runner)
  destroyVerb(keys, runner)
  destructionsVerb(keys, runner)

  const list = keys
    .command('list')
    .description('list the recorded key versions')
    .option('--domain <id|name>', 'only this domain')
  perform<ListOptions>(commonOptions(list, { changes: false }), runner, listAction)

  checkVerb(keys, runner)
}

async function initAction(context: CommandContext, _args: readonly string[], o: InitOptions): Promise<void> {
  context.ifStopped('no key was made: run the same command again')
  const config = context.settings.load(['database', 'hsm'])
  const records = await openDatabase(context, config)
  const admin = await openAdmin(config, fleetLockout(context, records))
  context.defer(() => admin.close())
  const actor = `cli:${context.io.user}`
  const domain = await domainFor(records, o, actor)
  const plan = (token: readonly KeyListing[]) => plansOf(records, domain, token, o)
  if (o.dryRun === true) {
    const keys = dryRunReport(await plan(await admin.list()))
    await context.print.document({ domain: domain.id, suite: domain.suite, dryRun: true, keys })
    return context.print.text(reportTable(keys, o))
  }
  // Two runs at once would create two keys with one label.
  const prepared = await underKeysLock(context, records, domain.id, async () => {
    const token = await admin.list()
    return prepare(context, await plan(token), { records, admin, token, actor })
  })
  await admin.close()
  const confirmedBy = await confirmed(context, records, prepared, o)
  const keys = await underKeysLock(context, records, domain.id, (tx) => activate(tx, prepared, { actor, confirmedBy }))
  await context.print.document({ domain: domain.id, suite: domain.suite, dryRun: false, keys, confirmedBy })
  await context.print.text(reportTable(keys, o))
}

async function plansOf(
  records: Records,
  domain: DomainPolicy,
  token: readonly KeyListing[],
  o: InitOptions,
): Promise<readonly RolePlan[]> {
  const plans: RolePlan[] = []
  for (const role of rolesOf(domain, o)) {
    const owner = role === 'audit' ? 'default' : domain.id
    const rows = await listMasterKeys(records, { domain: owner, role })
    const suite: Suite = role === 'enc' || role === 'sig' ? domain.suite : 1
    plans.push({ steps: planRole({ role, domain: owner, suite, rows, token }), rows })
  }
  if (o.adoptKeys !== true) await assertMadeHere(records, plans)
  return plans
}

/** Creates a missing default domain; any other must exist, since its policy is a decision. */
async function domainFor(records: Records, o: InitOptions, actor: string): Promise<DomainPolicy> {
  if (o.domain !== 'default') return findDomain(records, o.domain)
  const suite: Suite | undefined = o.suite === undefined ? undefined : o.suite === '2' ? 2 : 1
  return inTransaction(records, o.dryRun, async (tx) => {
    const { domain, created } = await ensureDomain(tx, { id: 'default', ...(suite === undefined ? {} : { suite }) })
    const { id, ...detail } = domain
    if (created) await appendAudit(tx, { actor, action: 'domains.add', subjectKind: 'domain', subjectId: id, detail })
    return domain
  })
}

function rolesOf({ nonceMode }: DomainPolicy, { withAudit, withKek }: InitOptions): readonly Role[] {
  return [
    'enc',
    'sig',
    ...(nonceMode === 'detached' || withKek === true ? (['kek'] as const) : []),
    ...(withAudit === true ? (['audit'] as const) : []),
  ]
}

async function listAction(context: CommandContext, _args: readonly string[], o: ListOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const rows = await rowsOf(records, o)
  await context.print.document({ keys: rows.map(({ evidence: _evidence, ...row }) => row) })
  const columns = [
    { title: 'KEY' },
    { title: 'STATE' },
    { title: 'CHECK VALUE' },
    { title: 'REGISTERED' },
    { title: 'ACTIVE SINCE' },
  ]
  const cells = rows.map((row) => [
    row.label,
    row.state,
    row.checkValue?.toString('hex') ?? '-',
    humanTime(row.createdAt),
    humanTime(row.activatedAt),
  ])
  await context.print.text(rows.length === 0 ? 'no keys yet: sealfleet keys init' : table(columns, cells))
}

async function rowsOf(records: Records, o: ListOptions): Promise<readonly KeyRow[]> {
  if (o.domain === undefined) return listMasterKeys(records)
  const { id } = await findDomain(records, o.domain)
  return listMasterKeys(records, { domain: id })
}
