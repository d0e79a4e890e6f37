import { keyLabel, type KeyAdmin } from '@sealfleet/hsm'
import {
  ensureDomain,
  listDomains,
  listMasterKeys,
  underLoginLock,
  type DomainPolicy,
  type KeyRow,
  type Records,
  type Role,
  type Suite,
} from '@sealfleet/records'
import { Option, type Command } from 'commander'
import type { CommandContext, CommonOptions } from '../context.js'
import { EXIT, type ExitStatus } from '../exit-status.js'
import { carryOut } from '../keys/carry-out.js'
import { planRole } from '../keys/plan.js'
import { reportOf, reportTable, type KeyReport } from '../keys/report.js'
import { assertSound, compareKeys, type KeyComparison } from '../keys/token-keys.js'
import { table } from '../output/table.js'
import { humanTime } from '../output/units.js'
import { findDomain } from '../services/domains.js'
import { openAdmin } from '../services/hsm.js'
import { openDatabase } from '../services/records.js'
import { commonOptions, perform, type Runner } from '../verb.js'
import { rotateVerb } from './keys-rotate.js'

/** Of a domain that does not exist yet. */
const NO_PERIODS = { rotationDays: null, retentionDays: null }

interface InitOptions extends CommonOptions {
  readonly domain: string
  readonly suite?: string
  readonly withAudit?: boolean
  readonly withKek?: boolean
}

interface ListOptions extends CommonOptions {
  readonly domain?: string
}

export function keysVerbs(program: Command, runner: Runner): void {
  const keys = program.command('keys').description('master keys in the HSM and their records')

  const init = keys
    .command('init')
    .description('give a domain its first master keys: made in the HSM, recorded, activated. Safe to run again.')
    .option('--domain <id|name>', 'the key domain', 'default')
    .addOption(new Option('--suite <n>', "the default domain's suite, when it is made here").choices(['1', '2']))
    .option('--with-audit', 'make the audit key too')
    .option('--with-kek', 'make a KEK too, which a domain needs before its nonces can be detached')
  perform<InitOptions>(commonOptions(init, { changes: true }), runner, initAction)

  rotateVerb(keys, runner)

  const list = keys
    .command('list')
    .description('list the recorded key versions')
    .option('--domain <id|name>', 'of this domain alone')
  perform<ListOptions>(commonOptions(list, { changes: false }), runner, listAction)

  const check = keys
    .command('check')
    .description('recompute every check value in the token and compare it with the records')
    .option('--domain <id|name>', 'of this domain alone')
  perform<ListOptions>(commonOptions(check, { changes: false }), runner, checkAction)
}

async function initAction(context: CommandContext, _args: readonly string[], o: InitOptions): Promise<void> {
  const config = context.settings.load(['database', 'hsm'])
  const records = await openDatabase(context, config)
  const admin = await openAdmin(config)
  context.defer(() => admin.close())
  const domain = await domainFor(records, o)
  // Two runs at once would make two keys under one label. The name of this lock is no PIN's: serials have no spaces.
  const lock = { tokenSerial: 'keys init', pinId: domain.id }
  const reports = o.dryRun
    ? await giveKeys(context, records, admin, domain, o)
    : await underLoginLock(records, lock, () => giveKeys(context, records, admin, domain, o))
  await context.print.document({ domain: domain.id, suite: domain.suite, dryRun: o.dryRun === true, keys: reports })
  await context.print.text(reportTable(reports, o))
}

async function giveKeys(
  context: CommandContext,
  records: Records,
  admin: KeyAdmin,
  domain: DomainPolicy & { readonly exists: boolean },
  o: InitOptions,
): Promise<readonly KeyReport[]> {
  const token = await admin.list()
  const reports: KeyReport[] = []
  for (const role of rolesOf(domain, o)) {
    context.signal.throwIfAborted()
    const owner = role === 'audit' ? 'default' : domain.id
    const rows = o.dryRun && !domain.exists ? [] : await listMasterKeys(records, { domain: owner, role })
    const suite: Suite = role === 'enc' || role === 'sig' ? domain.suite : 1
    const steps = planRole({ role, domain: owner, suite, rows, token })
    for (const step of steps) {
      if (o.dryRun === true) {
        reports.push(reportOf(step, undefined, rows))
        continue
      }
      const there = rows.find((row) => step.kind === 'there' && row.version === step.ref.version)
      if (there) (await compareKeys(admin, [there], token)).forEach(assertSound)
      reports.push(
        reportOf(step, await carryOut(step, { records, admin, token, actor: `cli:${context.io.user}` }), rows),
      )
    }
  }
  return reports
}

/** The default domain is made where it is missing; any other must exist, since its policy is a decision. */
async function domainFor(records: Records, o: InitOptions): Promise<DomainPolicy & { readonly exists: boolean }> {
  if (o.domain !== 'default') return { ...(await findDomain(records, o.domain)), exists: true }
  const suite: Suite | undefined = o.suite === undefined ? undefined : o.suite === '2' ? 2 : 1
  if (o.dryRun === true) {
    const found = (await listDomains(records)).find(({ id }) => id === 'default')
    return found
      ? { ...found, exists: true }
      : {
          id: 'default',
          name: 'default',
          suite: suite ?? 1,
          nonceMode: 'inline',
          segLog2: 20,
          ...NO_PERIODS,
          exists: false,
        }
  }
  const { domain } = await ensureDomain(records, { id: 'default', ...(suite === undefined ? {} : { suite }) })
  return { ...domain, exists: true }
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

async function checkAction(context: CommandContext, _args: readonly string[], o: ListOptions): Promise<ExitStatus> {
  const config = context.settings.load(['database', 'hsm'])
  const records = await openDatabase(context, config)
  const rows = await rowsOf(records, o)
  const admin = await openAdmin(config)
  context.defer(() => admin.close())
  const token = await admin.list()
  const comparisons = await compareKeys(admin, rows, token)
  const labels = new Set(rows.map((row) => keyLabel(row)))
  const unrecorded =
    o.domain === undefined ? token.filter(({ label }) => !labels.has(label)).map(({ label }) => label) : []
  await context.print.document({
    keys: comparisons.map(({ key, outcome }) => ({ label: key.label, state: key.state, outcome })),
    unrecorded,
  })
  const bad = comparisons.filter(isBad)
  const cells = comparisons.map(({ key, outcome }) => [key.label, key.state, outcome])
  const painter = (padded: string, cell: string, column: number): string =>
    column === 2 ? context.print.paint(cell === 'ok' || cell === 'destroyed' ? 'good' : 'bad', padded) : padded
  const columns = [{ title: 'KEY' }, { title: 'STATE' }, { title: 'TOKEN' }]
  await context.print.text(rows.length === 0 ? 'no keys yet: sealfleet keys init' : table(columns, cells, painter))
  for (const label of unrecorded) await context.print.note(`note: ${label} is in the token and in no record`)
  for (const one of bad) {
    const { label } = one.key
    await context.print.note(
      `${label}: ${one.outcome}; nothing is sealed or opened with it until the right key is back`,
    )
  }
  return bad.length === 0 ? EXIT.done : EXIT.key
}

function isBad({ outcome }: KeyComparison): boolean {
  return outcome === 'missing' || outcome === 'mismatch' || outcome === 'twice'
}

async function rowsOf(records: Records, o: ListOptions): Promise<readonly KeyRow[]> {
  if (o.domain === undefined) return listMasterKeys(records)
  const { id } = await findDomain(records, o.domain)
  return listMasterKeys(records, { domain: id })
}
