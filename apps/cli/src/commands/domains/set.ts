import { appendAudit } from '@sealfleet/records/audit'
import { listMasterKeys } from '@sealfleet/records/keys'
import { setDomain } from '@sealfleet/records/fleet'
import type { DomainPolicy, Queryable } from '@sealfleet/records'
import type { Command } from 'commander'
import { usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { assertDomainName, assertLossAccepted, policyOf, policyOptions, type PolicyOptions } from './policy-options.js'
import { table } from '../../output/table.js'
import { findDomain } from '../../input/domains.js'
import { requireReasonIfGiven } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface SetOptions extends CommonOptions, PolicyOptions {
  readonly rename?: string
  readonly reason?: string
}

export function domainsSetVerb(domains: Command, runner: Runner): void {
  const set = domains
    .command('set')
    .description('change the policy of a key domain; stored files stay as they are')
    .argument('<name>', 'its name or id')
    .option('--rename <name>', 'its new name')
    .option('--reason <text>', 'for the audit log')
  policyOptions(set, { suite: '1: AES-128-CTR, 2: AES-256-CTR; from the next `keys rotate` on' }).addHelpText(
    'after',
    `
A new suite takes effect with the next \`keys rotate\`, which then creates enc and sig together; until then files are sealed
under the keys that are active. Nonces and segment size apply to files that workers start from now on. Detached nonces need an
active KEK first (\`keys init --domain NAME --with-kek\`). A shorter retention makes files due at once: \`retention list\` shows them.`,
  )
  perform<SetOptions>(commonOptions(set, { changes: true }), runner, setAction)
}

async function setAction(context: CommandContext, [given = '']: readonly string[], o: SetOptions): Promise<void> {
  const reason = requireReasonIfGiven(o.reason)
  const policy = policyOf(o)
  if (o.rename === undefined && Object.values(policy).every((value) => value === undefined))
    throw usageError('no change was given', 'see --help for the options')
  if (o.rename !== undefined) assertDomainName(o.rename)
  const records = await openDatabase(context, context.settings.load(['database']))
  const domain = await findDomain(records, given)
  // For a domain that is detached already, the risk was accepted before.
  if (domain.nonceMode === 'inline') assertLossAccepted(o)
  if (domain.id === 'default' && o.rename !== undefined) throw usageError('the default domain keeps its name')
  const change = { ...policy, name: o.rename, lossAcknowledged: o.acceptLossWithDatabase }
  const run = async (tx: Queryable) => {
    const { before, after } = await setDomain(tx, domain.id, change)
    const changes = differences(before, after)
    if (Object.keys(changes).length > 0) {
      const subject = { subjectKind: 'domain', subjectId: domain.id }
      const detail = reason === undefined ? changes : { ...changes, reason }
      await appendAudit(tx, { ...subject, actor: `cli:${context.io.user}`, action: 'domains.set', detail })
    }
    return { after, changes }
  }
  const { after, changes } = await inTransaction(records, o.dryRun, run)
  await context.print.document({ ...after, changes, dryRun: o.dryRun === true })
  const rows = Object.entries(changes).map(([name, { from, to }]) => [name, shown(from), shown(to)])
  const columns = [{ title: 'POLICY' }, { title: 'BEFORE' }, { title: o.dryRun === true ? 'WOULD BE' : 'NOW' }]
  await context.print.text(rows.length === 0 ? `${after.name} has this policy already` : table(columns, rows))
  const sealsAlready = (await listMasterKeys(records, { domain: domain.id, role: 'enc', state: 'ACTIVE' })).length > 0
  if (changes['suite'] !== undefined && sealsAlready && o.dryRun !== true)
    await context.print.note(`it takes effect with: sealfleet keys rotate --domain ${after.name}`)
}

type Value = DomainPolicy[keyof DomainPolicy]
type Changes = Readonly<Record<string, { readonly from: Value; readonly to: Value }>>

function differences(before: DomainPolicy, after: DomainPolicy): Changes {
  const names = Object.keys(before) as (keyof DomainPolicy)[]
  return Object.fromEntries(
    names.filter((name) => before[name] !== after[name]).map((name) => [name, { from: before[name], to: after[name] }]),
  )
}

function shown(value: Value): string {
  return value === null ? 'none' : String(value)
}
