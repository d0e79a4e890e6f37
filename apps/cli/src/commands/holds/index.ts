import { getDomain } from '@sealfleet/records/fleet'
import { getFile } from '@sealfleet/records/files'
import { getHold, listHolds, placeHold, releaseHold } from '@sealfleet/records/deletion'
import type { FileRow, HoldRow } from '@sealfleet/records'
import type { Command } from 'commander'
import { CliError, missingError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { holdsTable } from '../domains/overview.js'
import { EXIT } from '../../exit-status.js'
import { findDomain } from '../../input/domains.js'
import { findFileId, noSuchFile } from '../../input/file-id.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { dryRunIf } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { printable } from '../../output/printable.js'

interface PlaceOptions extends CommonOptions {
  readonly domain?: string
  readonly file?: string
  readonly reason: string
}

interface ListOptions extends CommonOptions {
  readonly domain?: string
  readonly all?: boolean
}

export function holdsVerbs(program: Command, runner: Runner): void {
  const holds = program
    .command('holds')
    .description('place, release and list holds: files under a hold are not deleted, and their keys are not destroyed')

  const place = holds
    .command('place')
    .description('place a hold on a whole key domain or on one file')
    .option('--domain <id|name>', 'every file of this domain, future ones included')
    .option('--file <id>', 'one file, by its id or the text given with --id when it was enqueued')
    .requiredOption('--reason <text>', 'why; shown with the hold and in the audit log')
    .addHelpText(
      'after',
      `
When the command ends, every deletion has either seen the hold or ended before it. Files that were deleted before stay deleted.
Several holds may cover the same files; they may be deleted when the last hold is released.`,
    )
  perform<PlaceOptions>(commonOptions(place, { changes: true }), runner, placeAction)

  const release = holds
    .command('release')
    .description('release a hold; files that no other hold covers may be deleted again')
    .argument('<hold>', 'its id, as `holds list` shows it')
    .requiredOption('--reason <text>', 'why, for the audit log')
  perform<CommonOptions & { readonly reason: string }>(commonOptions(release, { changes: true }), runner, releaseAction)

  const list = holds
    .command('list')
    .description('list the holds in force, oldest first')
    .option('--domain <id|name>', 'only holds on this domain and its files')
    .option('--all', 'include released holds')
  perform<ListOptions>(commonOptions(list, { changes: false }), runner, listAction)
}

async function placeAction(context: CommandContext, _args: readonly string[], o: PlaceOptions): Promise<void> {
  if ((o.domain === undefined) === (o.file === undefined)) throw usageError('give either --domain or --file')
  const reason = requireReason(o.reason)
  const records = await openDatabase(context, context.settings.load(['database']))
  const fileId = o.file === undefined ? undefined : await findFileId(records, o.file, ['STORED'])
  const file = fileId === undefined ? undefined : await getFile(records, fileId)
  if (o.file !== undefined && fileId !== undefined && file === undefined) throw noSuchFile(o.file, fileId)
  if (file?.file.state === 'DELETED' || file?.file.state === 'DISCARDED') throw nothingToHold(file.file)
  const domain =
    file === undefined ? await findDomain(records, o.domain ?? '') : await getDomain(records, file.file.domain)
  const target = fileId === undefined ? { domain: domain?.id ?? 'default' } : { fileId }
  const actor = `cli:${context.io.user}`
  const hold = await placeHold(dryRunIf(o.dryRun, records), { target, reason, actor })
  if (o.dryRun === true) {
    await context.print.document({ target, reason, dryRun: true })
    return context.print.text(
      `a hold on ${fileId === undefined ? `domain ${domain?.name ?? ''}` : `file ${fileId}`} would be placed`,
    )
  }
  await context.print.document({ hold, dryRun: false })
  await context.print.text(holdsTable([hold]))
}

async function releaseAction(
  context: CommandContext,
  [given = '']: readonly string[],
  o: CommonOptions & { readonly reason: string },
): Promise<void> {
  const reason = requireReason(o.reason)
  const id = given.toLowerCase()
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
    throw usageError(`${printable(given)} is not the id of a hold`)
  const records = await openDatabase(context, context.settings.load(['database']))
  const known = await getHold(records, id)
  if (known === undefined) throw missingError('NOT_FOUND', `there is no hold ${id}`, 'see `sealfleet holds list --all`')
  if (known.releasedAt !== null) throw releasedBefore(known)
  const actor = `cli:${context.io.user}`
  const released = await releaseHold(dryRunIf(o.dryRun, records), { id, reason, actor })
  const hold = o.dryRun === true ? known : released
  await context.print.document({ hold, dryRun: o.dryRun === true })
  await context.print.text(o.dryRun === true ? `would be released:\n${holdsTable([hold])}` : holdsTable([hold]))
}

async function listAction(context: CommandContext, _args: readonly string[], o: ListOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const domain = o.domain === undefined ? undefined : (await findDomain(records, o.domain)).id
  const holds = await listHolds(records, { domain, released: o.all })
  await context.print.document({ holds })
  await context.print.text(holds.length === 0 ? 'no holds' : holdsTable(holds))
}

function nothingToHold({ id, state }: FileRow): CliError {
  return new CliError('BAD_STATE', `file ${id} is ${state} already: there is nothing to hold`, {
    exitStatus: EXIT.failed,
    fix: `sealfleet trace ${id}`,
  })
}

function releasedBefore({ id, releasedBy }: HoldRow): CliError {
  const message = `hold ${id} was released before, by ${releasedBy ?? 'someone'}`
  return new CliError('BAD_STATE', message, { exitStatus: EXIT.failed, fix: 'see `sealfleet holds list --all`' })
}
