import {
  formatAnchor,
  parseAnchor,
  parseExpectation,
  verifyAudit,
  type Anchor,
  type AuditReport,
} from '@sealfleet/audit'
import type { Command } from 'commander'
import { access, constants, readFile } from 'node:fs/promises'
import path from 'node:path'
import { CliError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { hasCode } from '../../files/errno.js'
import { OutputFile } from '../../files/output-file.js'
import { unreadable } from '../operators/small-file.js'
import { createCounter } from '../../output/counter.js'
import { pairs, table } from '../../output/table.js'
import { humanDuration } from '../../output/units.js'
import { openAuditPorts } from '../../services/audit.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'
import { printable } from '../../output/printable.js'

interface VerifyOptions extends CommonOptions {
  readonly anchor?: string
  readonly expect?: readonly string[]
  readonly unsealedSeconds: number
}

export function auditVerifyVerb(audit: Command, runner: Runner): void {
  const verify = audit
    .command('verify')
    .description('recompute the chain, check every signature and copy, compare records with the log')
    .option('--anchor <file>', 'compare with what the last verification wrote to this file; rewritten after a success')
    .option(
      '--expect <NO:SHA256...>',
      'compare with checkpoints that were written down (`maintenance run audit-checkpoint` prints them)',
    )
    .addOption(
      wholeNumberOption(
        '--unsealed-seconds <n>',
        'report rows that have waited longer than this for their batch',
        0,
        31_536_000,
      ).default(900),
    )
    .addHelpText(
      'after',
      `
Finds rows, batches and checkpoints that were changed, removed or added; a database or a store that was rolled back alone; a
file's record that differs from the last commit in the log; a file that is gone without an event that deleted it, or is there
although one did; a key that is destroyed, or is not, while the log and its signed record say otherwise. A database and a store
that were rolled back together are found only with --anchor or --expect: keep that file, or those lines, out of reach of anyone
who can write to the database or the store. Rows that are in no batch yet are not protected; they are counted. Writes only the
anchor. Exit status: 3 when anything was found.`,
    )
  perform<VerifyOptions>(commonOptions(verify, { changes: false }), runner, verifyAction)
}

async function verifyAction(context: CommandContext, _args: readonly string[], o: VerifyOptions): Promise<ExitStatus> {
  const file = o.anchor === undefined ? undefined : path.resolve(context.io.cwd, o.anchor)
  if (file !== undefined) await assertWritable(file)
  const anchors = [...(o.expect ?? []).map(expectation), ...(file === undefined ? [] : await kept(file))]
  const ports = await openAuditPorts(context, { access: 'read-only' })
  const counter = createCounter(context.io, { noun: 'rows and files looked at', quiet: context.print.json })
  let report: AuditReport
  try {
    report = await verifyAudit(ports, {
      anchors,
      unsealedSeconds: o.unsealedSeconds,
      signal: context.signal,
      onProgress: (looked) => counter.update(looked),
    })
  } finally {
    counter.stop()
  }
  if (file !== undefined && report.found === 0 && report.head !== null) await keep(file, formatAnchor(report.head))
  await context.print.document(report)
  await context.print.text(pairs(lines(report)))
  if (file !== undefined && report.head === null)
    await context.print.note(
      `${printable(file)} was not written: nothing is signed yet (sealfleet maintenance run audit-checkpoint)`,
    )
  for (const no of report.adopted) await context.print.text(`gap: checkpoint ${no} is in the store alone (adopted)`)
  if (report.found === 0) return EXIT.done
  const rows = report.findings.map(({ code, subject, message }) => [code, subject, message])
  await context.print.text(table([{ title: 'FOUND' }, { title: 'WHERE' }, { title: 'WHAT', sentence: true }], rows))
  if (report.found > rows.length) await context.print.text(`and ${report.found - rows.length} more`)
  return EXIT.integrity
}

function lines(report: AuditReport): [string, string][] {
  const { unsealed, head } = report
  const waits =
    unsealed.oldestSeconds === null ? '' : `, the oldest for ${humanDuration(unsealed.oldestSeconds * 1000)}`
  return [
    ['rows sealed', `${report.rows} in ${report.batches} batches`],
    ['rows not sealed yet', `${unsealed.rows}${waits}`],
    ['checkpoints', `${report.checkpoints}, copies in the store: ${report.copies}`],
    ['files compared', `${report.files}, with ${report.events} commits in the log`],
    ['keys compared', String(report.keys)],
    [
      'last checkpoint',
      head === null
        ? 'none: nothing is signed (sealfleet maintenance run audit-checkpoint)'
        : `${head.no}:${head.sha256}`,
    ],
    ['findings', String(report.found)],
  ]
}

function expectation(text: string): Anchor {
  try {
    return parseExpectation(text)
  } catch {
    throw usageError(`--expect ${printable(text)} is not of the form NO:SHA256`)
  }
}

/** The anchor in the file; undefined while the file does not exist. */
async function kept(file: string): Promise<readonly Anchor[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw unreadable(file, error)
  }
  try {
    return [parseAnchor(text)]
  } catch {
    throw usageError(
      `${printable(file)} is not an anchor: name the file that an earlier \`audit verify --anchor\` wrote, or a new one`,
    )
  }
}

/** Checked before the log is read, so that an hour of work does not end with a result that cannot be saved. */
async function assertWritable(file: string): Promise<void> {
  const folder = path.dirname(file)
  try {
    await access(folder, constants.W_OK)
  } catch (error) {
    throw new CliError('OUTPUT_FOLDER', `the folder ${printable(folder)} does not exist, or you may not write to it`, {
      exitStatus: EXIT.failed,
      fix: 'name a file in a folder of your own',
      cause: error,
    })
  }
}

/** Writes the file atomically. */
async function keep(anchor: string, text: string): Promise<void> {
  await using file = await OutputFile.create(anchor, { force: true })
  await file.write(Buffer.from(text))
  await file.commit()
}
