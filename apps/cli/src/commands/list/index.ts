import { batchIdFor } from '@sealfleet/queue'
import { FAILURE_CODES } from '@sealfleet/failures'
import { FILE_STATES, type FileState } from '@sealfleet/records'
import { listFiles, type ListedFile } from '@sealfleet/records/files'
import { InvalidArgumentError, Option, type Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { oneOf } from '../dlq/select.js'
import { table } from '../../output/table.js'
import { humanSize, humanTime } from '../../output/units.js'
import { findDomain } from '../../input/domains.js'
import { sourceFilter } from '../../input/selection.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface ListOptions extends CommonOptions {
  readonly state?: FileState
  readonly prefix?: string
  readonly root?: string
  readonly domain?: string
  readonly batch?: string
  readonly retrying?: boolean
  readonly code?: string
  readonly limit: number
  readonly cursor?: string
  readonly oldestFirst?: boolean
}

export function listVerb(program: Command, runner: Runner): void {
  const list = program
    .command('list')
    .description('list accepted files, newest first')
    .addOption(
      new Option('--state <state>', `${FILE_STATES.join(', ').toLowerCase()}`).argParser((text) => {
        const state = FILE_STATES.find((one) => one === text.toUpperCase())
        if (state === undefined)
          throw new InvalidArgumentError(`It must be one of ${FILE_STATES.join(', ').toLowerCase()}.`)
        return state
      }),
    )
    .option(
      '--prefix <path>',
      'only sources that begin with this: as this list prints them (inbox:2026/), or a path below the root',
    )
    .option('--root <name>', 'only files from this root')
    .option('--domain <id|name>', 'only files of this key domain')
    .option('--batch <name>', 'only files of this batch, by name or id')
    .option('--retrying', 'only files that failed and will be tried again')
    .addOption(oneOf('--code <code>', 'only files whose last failure has this code, e.g. SOURCE_IO', FAILURE_CODES))
    .addOption(wholeNumberOption('--limit <n>', 'at most this many (1 to 1000)', 1, 1000).default(50))
    .option('--cursor <text>', 'continue where an earlier list stopped')
    .option('--oldest-first', 'oldest first, in the order of acceptance')
  perform<ListOptions>(commonOptions(list, { changes: false }), runner, listAction)
}

async function listAction(context: CommandContext, _args: readonly string[], o: ListOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const domain = o.domain === undefined ? undefined : (await findDomain(records, o.domain)).id
  const { files, nextCursor } = await listFiles(records, {
    state: o.state,
    ...sourceFilter(o),
    domain,
    retrying: o.retrying,
    code: o.code,
    batchId: o.batch === undefined ? undefined : batchIdFor(o.batch),
    limit: o.limit,
    cursor: o.cursor,
    newestFirst: o.oldestFirst !== true,
  })
  await context.print.document({ files: files.map(listed), nextCursor })
  const columns = [
    { title: 'ID' },
    { title: 'STATE' },
    { title: 'SIZE', align: 'right', gives: 1 } as const,
    { title: 'ACCEPTED', gives: 2 },
    { title: 'SOURCE' },
  ]
  const rows = files.map(({ file, committed }) => [
    file.id,
    stateCell(file),
    committed?.plaintextLength == null ? '-' : humanSize(committed.plaintextLength),
    humanTime(file.acceptedAt),
    `${file.source.root}:${file.source.path}`,
  ])
  const painter = (padded: string, cell: string, column: number): string => {
    if (column !== 1) return padded
    return cell === 'STORED'
      ? context.print.paint('good', padded)
      : cell.startsWith('DEAD')
        ? context.print.paint('bad', padded)
        : padded
  }
  await context.print.text(files.length === 0 ? 'no such files' : table(columns, rows, painter))
  if (nextCursor !== null) await context.print.note(`there are more: --cursor ${nextCursor}`)
}

function stateCell({ state, lastFailure, deletion }: ListedFile['file']): string {
  if (lastFailure && (state === 'DEAD' || state === 'QUEUED' || state === 'RUNNING'))
    return `${state} (${lastFailure.code})`
  return state === 'DELETED' && deletion ? `DELETED (${deletion.kind.toLowerCase()})` : state
}

function listed({ file, committed }: ListedFile) {
  return {
    fileId: file.id,
    state: file.state,
    source: file.source,
    domain: file.domain,
    batchId: file.batchId,
    acceptedAt: file.acceptedAt,
    storedAt: file.storedAt,
    deletion: file.deletion,
    plaintextLength: committed?.plaintextLength ?? null,
    encKeyVersion: committed?.encKeyVersion ?? null,
    sigKeyVersion: committed?.sigKeyVersion ?? null,
    objectKey: committed?.objectKey ?? null,
    lastFailure: file.state === 'STORED' ? null : file.lastFailure,
    nextTryAt: file.nextTryAt,
  }
}
