import { lockForShredding, shredDetail, shredFile } from '@sealfleet/records/deletion'
import type { Records } from '@sealfleet/records'
import type { Command } from 'commander'
import type { CommandContext } from '../../context.js'
import {
  findOrCreateRequest,
  quoted,
  requestReport,
  signedOptions,
  signedReason,
  printSigningSteps,
  type SignedOptions,
} from '../operators/find-or-create-request.js'
import { count } from '../../output/units.js'
import { findFileId } from '../../input/file-id.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface ShredOptions extends SignedOptions {
  readonly reason?: string
}

export function shredVerb(program: Command, runner: Runner): void {
  const shred = signedOptions(
    program
      .command('shred')
      .description('make one file of a domain with detached nonces unreadable forever; needs two officers')
      .argument(
        '<id>',
        'a file id, its source as `list` prints it (inbox:a.pdf), or the text given with --id when it was enqueued',
      )
      .option('--reason <text>', 'why; it is signed, so with --request it need not be given again'),
  ).addHelpText('after', HELP)
  perform<ShredOptions>(commonOptions(shred, { changes: true }), runner, shredAction)
}

const HELP = `
Without --request it makes a request for officers to sign (see \`requests\`); with it, the wrapped nonces of all attempts at the
file are deleted, and its keys can no longer be derived. Maintenance then deletes its objects. What it cannot reach: backups and
replicas of the database that hold the wrapped nonces, as long as the KEK they are wrapped under exists. Let them expire, or
rewrap the domain under a new KEK and destroy the old one. A file with inline nonces cannot be shredded: its object holds them.`

async function shredAction(context: CommandContext, [given = '']: readonly string[], o: ShredOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const fileId = await findFileId(records, given, ['STORED'])
  const reason = requireReason(o.reason ?? (await signedReason(records, o.request)))
  const dryRun = o.dryRun === true
  if (o.request === undefined) return await ask(context, records, fileId, reason, o)
  const requestId = o.request
  const shreddedBy = `cli:${context.io.user}`
  const file = await inTransaction(records, dryRun, (tx) => shredFile(tx, { fileId, requestId, reason, shreddedBy }))
  await context.print.document({ file, shredded: !dryRun, request: null, dryRun })
  const { source, attempts } = file
  await context.print.text(
    `${fileId} (${source}) ${dryRun ? 'would be' : 'is'} shredded: the nonces of ${count(attempts, 'attempt')} ${dryRun ? 'would go' : 'are gone'}`,
  )
  if (dryRun) return
  await context.print.note(
    'note: backups of the database made before still hold them, wrapped; they must expire, or their KEK must be destroyed',
  )
}

async function ask(
  context: CommandContext,
  records: Records,
  fileId: string,
  reason: string,
  o: ShredOptions,
): Promise<void> {
  // Checked first, so that officers do not sign what would be refused.
  const file = await records.transaction((tx) => lockForShredding(tx, fileId))
  const wanted = {
    kind: 'file.shred',
    subject: { kind: 'file', id: fileId },
    detail: shredDetail(file, reason),
  } as const
  const request = await findOrCreateRequest(context, records, wanted, o)
  const dryRun = o.dryRun === true
  await context.print.document({ file, shredded: false, request: request ? requestReport(request) : null, dryRun })
  await printSigningSteps(context, request, wanted, `sealfleet shred ${quoted(fileId)}`)
}
