import { appendAudit, ensureDomain, listDomains, type Suite } from '@sealfleet/records'
import { Option, type Command } from 'commander'
import { randomUUID } from 'node:crypto'
import { CliError, usageError } from '../cli-error.js'
import type { CommandContext, CommonOptions } from '../context.js'
import { EXIT } from '../exit-status.js'
import { table } from '../output/table.js'
import { humanSize } from '../output/units.js'
import { openDatabase } from '../services/records.js'
import { commonOptions, perform, wholeNumber, type Runner } from '../verb.js'

interface AddOptions extends CommonOptions {
  readonly id?: string
  readonly suite: string
  readonly nonces: 'inline' | 'detached'
  readonly segment: number
  readonly acceptLossWithDatabase?: boolean
}

export function domainsVerbs(program: Command, runner: Runner): void {
  const domains = program
    .command('domains')
    .description('key domains (retention classes), each with its own master keys')

  const list = domains.command('list').description('list the key domains and their policies')
  perform<CommonOptions>(commonOptions(list, { changes: false }), runner, listAction)

  const add = domains
    .command('add')
    .description('make a key domain; `keys init --domain NAME` then makes its keys')
    .argument('<name>', 'what people call it')
    .option('--id <uuid>', 'its id in every header; a fresh one when not given')
    .addOption(new Option('--suite <n>', '1: AES-128-CTR, 2: AES-256-CTR').choices(['1', '2']).default('1'))
    .addOption(new Option('--nonces <mode>', 'where nonces are kept').choices(['inline', 'detached']).default('inline'))
    .addOption(wholeNumber('--segment <log2>', 'log2 of the segment size (16 to 24)', 16, 24).default(20))
    .option('--accept-loss-with-database', 'for detached nonces: whoever loses the database loses the files')
  perform<AddOptions>(commonOptions(add, { changes: true }), runner, addAction)
}

async function listAction(context: CommandContext): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const domains = await listDomains(records)
  await context.print.document({ domains })
  const columns = [{ title: 'NAME' }, { title: 'ID' }, { title: 'SUITE' }, { title: 'NONCES' }, { title: 'SEGMENT' }]
  const rows = domains.map((d) => [d.name, d.id, String(d.suite), d.nonceMode, humanSize(2 ** d.segLog2)])
  await context.print.text(
    domains.length === 0 ? 'no domains yet: sealfleet keys init makes the default one' : table(columns, rows),
  )
}

async function addAction(context: CommandContext, [name = '']: readonly string[], o: AddOptions): Promise<void> {
  const id = o.id?.toLowerCase() ?? randomUUID()
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw usageError(`--id ${o.id ?? ''} is not a UUID`)
  if (name === '' || name === 'default') throw usageError(`a domain can not be called ${JSON.stringify(name)}`)
  if (o.nonces === 'detached' && o.acceptLossWithDatabase !== true) {
    const message = 'with detached nonces, whoever loses the database loses every file of the domain'
    throw new CliError('USAGE', message, {
      exitStatus: EXIT.usage,
      fix: 'if that is wanted: --accept-loss-with-database',
    })
  }
  const suite: Suite = o.suite === '2' ? 2 : 1
  const input = { id, name, suite, nonceMode: o.nonces, segLog2: o.segment, lossAcknowledged: o.nonces === 'detached' }
  const records = await openDatabase(context, context.settings.load(['database']))
  const taken = (await listDomains(records)).find((domain) => domain.name === name && domain.id !== id)
  if (taken) {
    const fix = `choose another name, or --id ${taken.id} if that one is meant`
    throw new CliError('CONFLICT', `there is a domain "${name}" already: ${taken.id}`, { exitStatus: EXIT.failed, fix })
  }
  const created =
    o.dryRun !== true &&
    (await records.transaction(async (tx) => {
      const made = await ensureDomain(tx, input)
      const actor = `cli:${context.io.user}`
      if (made.created) {
        await appendAudit(tx, {
          actor,
          action: 'domains.add',
          subjectKind: 'domain',
          subjectId: id,
          detail: { name, suite },
        })
      }
      return made.created
    }))
  await context.print.document({ ...input, created, dryRun: o.dryRun === true })
  await context.print.text(`${name}  ${id}${o.dryRun ? '  (would be made)' : created ? '' : '  (was there)'}`)
  if (created) await context.print.note(`next: sealfleet keys init --domain ${name}`)
}
