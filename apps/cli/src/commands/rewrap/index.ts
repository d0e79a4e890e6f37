import { appendAudit } from '@sealfleet/records/audit'
import { kekWraps, listMasterKeys, type KekWraps } from '@sealfleet/records/keys'
import type { DomainPolicy, Records } from '@sealfleet/records'
import type { HsmPool } from '@sealfleet/hsm'
import { Option, type Command } from 'commander'
import { CliError, missingError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import { createCounter } from '../../output/counter.js'
import { table } from '../../output/table.js'
import { count } from '../../output/units.js'
import { rewrapAll, type RewrapReport } from './run.js'
import { findDomain } from '../../input/domains.js'
import { fleetLockout, openPool } from '../../services/hsm.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface RewrapOptions extends CommonOptions {
  readonly domain: string
  readonly from?: number
  readonly rate?: number
}

/**
 * FORMAT §5 allows fewer than 2^32 wraps for one KEK version, each with a random 96-bit iv. Rotate long before that;
 * the count here is a lower bound.
 */
const MANY_WRAPS = 2 ** 28

export function rewrapVerb(program: Command, runner: Runner): void {
  const verb = program
    .command('rewrap')
    .description('wrap a domain’s detached nonces under its active KEK, so that older KEK versions can be destroyed')
    .addOption(new Option('--domain <id|name>', 'the key domain').makeOptionMandatory())
    .addOption(wholeNumberOption('--from <version>', 'only what this KEK version wraps', 1, 2_147_483_647))
    .addOption(wholeNumberOption('--rate <n>', 'at most this many attempts per second', 1, 100_000))
    .addHelpText(
      'after',
      `
Run it after \`keys rotate --role kek\`. Only the database is touched: objects, and the KEK version in their headers, stay as
they are. Each attempt is rewrapped by itself, while readers and workers continue; the command can be stopped at any time and
continues when it is run again. Several runs at once do no harm. With --dry-run it shows what each version wraps. Nonces that
cannot be opened are left as they are and named (exit status 3, or 5 where the KEK is gone).`,
    )
  perform<RewrapOptions>(commonOptions(verb, { changes: true }), runner, rewrapAction)
}

async function rewrapAction(
  context: CommandContext,
  _args: readonly string[],
  o: RewrapOptions,
): Promise<ExitStatus | void> {
  const config = context.settings.load(o.dryRun === true ? ['database'] : ['database', 'hsm'])
  const records = await openDatabase(context, config)
  const domain = await findDomain(records, o.domain)
  const versions = await kekWraps(records, domain.id)
  const active = chooseActive(versions, domain, o)
  const toDo = versions
    .filter(({ version }) => version !== active.version && (o.from === undefined || version === o.from))
    .reduce((sum, { wrapped }) => sum + wrapped, 0)
  if (o.dryRun === true) {
    await context.print.document({ domain: domain.id, dryRun: true, to: active.version, toRewrap: toDo, versions })
    await say(context, versions, `${count(toDo, 'attempt')} would be wrapped under version ${active.version}`)
    return EXIT.done
  }
  const pool = await openPool(context.settings.load(['hsm']), fleetLockout(context, records))
  context.defer(() => pool.close())
  await expectKeks(records, pool, domain.id)
  const report: RewrapReport = { rewrapped: 0, raced: 0, failed: [] }
  let complete = false
  const counter = createCounter(context.io, { noun: `of ${toDo} attempts`, quiet: context.print.json })
  try {
    await rewrapAll(
      { records, unwrapper: pool, wrapper: pool.confirmed() },
      {
        domain: domain.id,
        active,
        from: o.from,
        rate: o.rate,
        signal: context.signal,
        onProgress: (done) => counter.update(done),
      },
      report,
    )
    complete = true
  } finally {
    counter.stop()
    await audit(context, records, domain, { ...report, to: active.version, from: o.from ?? null, complete })
  }
  return summarise(context, records, domain, active, report)
}

function chooseActive(versions: readonly KekWraps[], domain: DomainPolicy, o: RewrapOptions): KekWraps {
  const active = versions.find(({ state }) => state === 'ACTIVE')
  if (active === undefined) {
    throw new CliError('NO_ACTIVE_KEY', `domain ${domain.name} has no active KEK`, {
      exitStatus: EXIT.key,
      fix:
        domain.nonceMode === 'detached'
          ? `make one with \`sealfleet keys init --domain ${domain.name}\``
          : 'its nonces are inline: there is nothing to wrap',
    })
  }
  if (o.from === undefined) return active
  if (!versions.some(({ version }) => version === o.from))
    throw missingError('NOT_FOUND', `domain ${domain.name} has no KEK version ${o.from}`, 'see `sealfleet keys list`')
  if (o.from === active.version) {
    throw new CliError('BAD_STATE', `version ${o.from} is the active KEK: there is nothing to move`, {
      exitStatus: EXIT.failed,
      fix: `first \`sealfleet keys rotate --role kek --domain ${domain.name}\``,
    })
  }
  return active
}

/** From now on the pool uses a KEK only when it opens the check record that was registered with it. */
async function expectKeks(records: Records, pool: HsmPool, domain: string): Promise<void> {
  for (const key of await listMasterKeys(records, { domain, role: 'kek' }))
    if (key.checkRecord !== null && key.state !== 'DESTROYED') pool.expectKekRecord(key, key.checkRecord)
}

/** One audit row per run, also when it was stopped: its work stays done. */
async function audit(
  context: CommandContext,
  records: Records,
  domain: DomainPolicy,
  { failed, ...rest }: RewrapReport & { to: number; from: number | null; complete: boolean },
): Promise<void> {
  await appendAudit(records, {
    actor: `cli:${context.io.user}`,
    action: 'keys.rewrap',
    subjectKind: 'domain',
    subjectId: domain.id,
    detail: { ...rest, failed: failed.length },
  })
}

async function summarise(
  context: CommandContext,
  records: Records,
  domain: DomainPolicy,
  active: KekWraps,
  report: RewrapReport,
): Promise<ExitStatus> {
  const versions = await kekWraps(records, domain.id)
  await context.print.document({ domain: domain.id, dryRun: false, to: active.version, ...report, versions })
  const raced = report.raced === 0 ? '' : `, ${report.raced} by another process meanwhile`
  await say(context, versions, `${count(report.rewrapped, 'attempt')} wrapped under version ${active.version}${raced}`)
  if (report.failed.length > 0) {
    const rows = report.failed.map((one) => [one.attemptId, one.fileId, String(one.kekVersion), one.error.code])
    const columns = [{ title: 'NOT WRAPPED' }, { title: 'FILE' }, { title: 'KEK' }, { title: 'WHY', sentence: true }]
    await context.print.text(table(columns, rows))
  }
  return combineStatuses(report.failed.map(({ error }) => error.exitStatus))
}

async function say(context: CommandContext, versions: readonly KekWraps[], outcome: string): Promise<void> {
  const rows = versions.map(({ version, state, wrapped, uses }) => [version, state, wrapped, uses].map(String))
  const columns = [
    { title: 'KEK', align: 'right' as const },
    { title: 'STATE' },
    { title: 'WRAPS', align: 'right' as const },
    { title: 'USED AT LEAST', align: 'right' as const },
  ]
  await context.print.text(`${table(columns, rows)}\n${outcome}`)
  for (const { version, state, uses } of versions)
    if (state === 'ACTIVE' && uses >= MANY_WRAPS)
      await context.print.note(
        `warning: KEK version ${version} was used ${uses} times or more, and 2^32 is too many: rotate it (\`keys rotate --role kek\`)`,
      )
}
