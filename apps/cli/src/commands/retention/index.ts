import {
  countPastRetention,
  listPastRetention,
  type ExpiredFile,
  type PastRetention,
} from '@sealfleet/records/deletion'
import type { Records } from '@sealfleet/records'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { daysText } from '../domains/days.js'
import { table } from '../../output/table.js'
import { humanSize, humanTime } from '../../output/units.js'
import { findDomain } from '../../input/domains.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface ListOptions extends CommonOptions {
  readonly domain?: string
  readonly limit: number
}

export function retentionVerbs(program: Command, runner: Runner): void {
  const retention = program
    .command('retention')
    .description('list files that are past the retention of their key domain')

  const list = retention
    .command('list')
    .description('list files past their retention, by domain; files under a hold are listed apart')
    .option('--domain <id|name>', 'only this domain')
    .addOption(
      wholeNumberOption('--limit <n>', 'at most this many files of each domain (0 to 1000)', 0, 1000).default(20),
    )
  perform<ListOptions>(commonOptions(list, { changes: false }), runner, listAction)
}

async function listAction(context: CommandContext, _args: readonly string[], o: ListOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const id = o.domain === undefined ? undefined : (await findDomain(records, o.domain)).id
  const domains = await countPastRetention(records, id)
  const detailed = []
  for (const one of domains) {
    context.signal.throwIfAborted()
    detailed.push({ ...one, ...(await filesOf(records, one, o.limit, context.signal)) })
  }
  await context.print.document({ domains: detailed })
  if (domains.length === 0) return context.print.text('no domain has a retention: every file is kept forever')
  await context.print.text(domainTable(domains))
  for (const { name, dueFiles, heldFiles } of detailed) {
    if (dueFiles.length > 0) await context.print.text(`\n${name}: past retention\n${fileTable(dueFiles)}`)
    if (heldFiles.length > 0)
      await context.print.text(`\n${name}: past retention, kept by a hold\n${fileTable(heldFiles)}`)
  }
}

/** The first files of a domain that are due, and the first that are held. */
async function filesOf(records: Records, { domain, due, held }: PastRetention, limit: number, signal: AbortSignal) {
  const dueFiles: ExpiredFile[] = []
  const heldFiles: ExpiredFile[] = []
  const isFull = (): boolean => dueFiles.length >= Math.min(limit, due) && heldFiles.length >= Math.min(limit, held)
  let after: ExpiredFile | undefined
  while (!isFull()) {
    signal.throwIfAborted()
    const page = await listPastRetention(records, { domain, limit: 500, after })
    for (const file of page) {
      const files = file.held ? heldFiles : dueFiles
      if (files.length < limit) files.push(file)
    }
    after = page.at(-1)
    if (page.length < 500) break
  }
  return { dueFiles, heldFiles }
}

/** What is past its retention, a line a domain. */
export function domainTable(domains: readonly PastRetention[]): string {
  const right = (title: string) => ({ title, align: 'right' }) as const
  const columns = [
    { title: 'DOMAIN' },
    { title: 'RETENTION' },
    right('DUE'),
    right('SIZE'),
    right('HELD'),
    right('SIZE'),
  ]
  const rows = domains.map((d) => [
    d.name,
    daysText(d.retentionDays, 'forever'),
    String(d.due),
    humanSize(d.dueBytes),
    String(d.held),
    humanSize(d.heldBytes),
  ])
  return table(columns, rows)
}

function fileTable(files: readonly ExpiredFile[]): string {
  const columns = [{ title: 'ID' }, { title: 'STORED' }, { title: 'RETENTION ENDED' }, { title: 'SOURCE' }]
  const rows = files.map(({ fileId, storedAt, expiredAt, source }) => [
    fileId,
    humanTime(storedAt),
    humanTime(expiredAt),
    `${source.root}:${source.path}`,
  ])
  return table(columns, rows)
}
