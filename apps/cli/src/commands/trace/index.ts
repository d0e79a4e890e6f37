import { traceFile, type FileTrace } from '@sealfleet/records/files'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { deletionText } from '../../files/deletion.js'
import { pairs, table } from '../../output/table.js'
import { humanDuration, humanSize, humanTime } from '../../output/units.js'
import { findFileId, noSuchFile } from '../../input/file-id.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

export function traceVerb(program: Command, runner: Runner): void {
  const trace = program
    .command('trace')
    .description('show all that is known of one file: every attempt, its keys, failures, dead letters, audit events')
    .argument(
      '<id>',
      'a file id, its source as `list` prints it (inbox:a.pdf), or the text given with --id when it was enqueued',
    )
  perform<CommonOptions>(commonOptions(trace, { changes: false }), runner, traceAction)
}

async function traceAction(context: CommandContext, [given = '']: readonly string[]): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const fileId = await findFileId(records, given)
  const trace = await traceFile(records, fileId)
  if (trace === undefined) throw noSuchFile(given, fileId)
  await context.print.document(trace)
  await context.print.text(describe(trace))
}

function describe(trace: FileTrace): string {
  const { file } = trace
  const context = file.context.length === 0 ? 'empty' : `"${file.context.toString('utf8')}"`
  const head = pairs([
    ['file', file.id],
    ['source', `${file.source.root}:${file.source.path}`],
    ['state', file.state],
    ['domain', file.domain],
    ['context', context],
    ['fingerprint', file.fingerprint.toString('hex')],
    ['generation', String(file.generation)],
    ['batch', file.batchId ?? '-'],
    ['accepted', humanTime(file.acceptedAt)],
    ['stored', humanTime(file.storedAt)],
    ...deleted(file),
    ['lease', file.lease === null ? '-' : `${file.lease.owner}, until ${humanTime(file.lease.expiresAt)}`],
  ])
  return [head, section('attempts', attempts(trace)), section('events', events(trace))].join('\n\n')
}

function deleted(file: FileTrace['file']): [string, string][] {
  const text = deletionText(file)
  return text === undefined ? [] : [['deleted', text]]
}

/** The reason that a person gave, where the audit log has one. */
function reasonIn(detail: unknown): string {
  const reason = typeof detail === 'object' && detail !== null && 'reason' in detail ? detail.reason : undefined
  return typeof reason === 'string' ? reason : ''
}

function section(title: string, body: string): string {
  return `${title}\n${body.replace(/^/gm, '  ')}`
}

function attempts({ attempts, file }: FileTrace): string {
  if (attempts.length === 0) return 'none yet'
  const columns = [
    { title: 'NO', align: 'right' } as const,
    { title: 'STATE' },
    { title: 'KEYS' },
    { title: 'SIZE', align: 'right' } as const,
    { title: 'OPENED', gives: 1 },
    { title: 'TOOK', align: 'right', gives: 2 } as const,
    { title: 'FAILURE' },
    { title: 'OBJECT' },
  ]
  const rows = attempts.map((a) => [
    String(a.attemptNo),
    a.id === file.committedAttemptId ? `${a.state} *` : a.state,
    `s${a.suite} enc ${a.encKeyVersion} sig ${a.sigKeyVersion}${a.kekVersion === null ? '' : ` kek ${a.kekVersion}`}`,
    a.plaintextLength === null ? '-' : humanSize(a.plaintextLength),
    humanTime(a.openedAt),
    a.endedAt === null ? '-' : humanDuration(a.endedAt.getTime() - a.openedAt.getTime()),
    a.failureCode ?? '-',
    `s3://${a.bucket}/${a.objectKey}`,
  ])
  return table(columns, rows, undefined, { indent: 2 })
}

/** Failures, dead letters and audit rows, in the order of time. */
function events({ failures, deadLetters, audit, file }: FileTrace): string {
  const all: { at: Date; what: string; who: string; text: string }[] = [
    { at: file.acceptedAt, what: 'accepted', who: '-', text: '' },
    ...failures.map((f) => ({
      at: f.at,
      what: f.code,
      who: f.owner,
      text: `attempt ${f.attemptNo}: ${f.message} (${f.disposition})`,
    })),
    ...deadLetters.map((d) => ({
      at: d.createdAt,
      what: `dead letter ${d.state.toLowerCase()}`,
      who: d.owner ?? '-',
      text: `${d.code}: ${d.reason}${d.resolution === null ? '' : `; ${d.resolution}`}`,
    })),
    ...audit.map((a) => ({ at: a.at, what: a.action, who: a.actor, text: reasonIn(a.detail) })),
    ...(file.storedAt === null ? [] : [{ at: file.storedAt, what: 'stored', who: '-', text: '' }]),
  ]
  const rows = all
    .sort((a, b) => a.at.getTime() - b.at.getTime())
    .map(({ at, what, who, text }) => [humanTime(at), what, who, text])
  return table(
    [{ title: 'TIME' }, { title: 'EVENT' }, { title: 'WHO' }, { title: 'WHAT', sentence: true }],
    rows,
    undefined,
    {
      indent: 2,
    },
  )
}
