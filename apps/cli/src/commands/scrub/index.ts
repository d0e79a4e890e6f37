import { classify } from '@sealfleet/failures'
import { scrub } from '@sealfleet/maintenance'
import { appendAudit } from '@sealfleet/records/audit'
import { listScrubs, scrubBacklog, type ScrubRow } from '@sealfleet/records/upkeep'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { createCounter } from '../../output/counter.js'
import { table } from '../../output/table.js'
import { count, humanSize, humanTime } from '../../output/units.js'
import { fleetLatch, openPool } from '../../services/hsm.js'
import { openDatabase } from '../../services/records.js'
import { openObjectStore } from '../../services/store.js'
import { commonOptions, perform, wholeNumber, type Runner } from '../../verb.js'

interface RunOptions extends CommonOptions {
  readonly rate?: number
}

export function scrubVerbs(program: Command, runner: Runner): void {
  const verb = program.command('scrub').description('verify every stored object in turn, to find silent damage')

  const status = verb.command('status').description('show the passes over the store: progress and findings')
  perform<CommonOptions>(commonOptions(status, { changes: false }), runner, statusAction)

  const run = verb
    .command('run')
    .description('continue the current pass, or start one now')
    .addOption(wholeNumber('--rate <mib>', 'MiB per second (default: unlimited)', 1, 100_000))
    .addHelpText(
      'after',
      `
Objects that were verified longest ago, or never, come first. It can be interrupted and continues the next time. Uses only signing
master keys (and, for detached nonces, KEKs). Maintenance does the same by itself when SEALFLEET_SCRUB_MIB_PER_SECOND is set, a pass
each SEALFLEET_SCRUB_EVERY_DAYS. Exit status 3: an object did not verify (docs/RUNBOOK.md, by its code).`,
    )
  perform<RunOptions>(commonOptions(run, { changes: true }), runner, runAction)
}

async function statusAction(context: CommandContext): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const passes = await listScrubs(records)
  const open = passes.find(({ finishedAt }) => finishedAt === null)
  const left = open === undefined ? null : await scrubBacklog(records, open.startedAt, open.id)
  await context.print.document({ passes, left })
  if (passes.length === 0) return context.print.text('no pass yet')
  const columns = [
    { title: 'BEGUN' },
    { title: 'ENDED' },
    { title: 'OBJECTS' },
    { title: 'BYTES' },
    { title: 'FAILED' },
  ]
  const rows = passes.map((pass) => [
    humanTime(pass.startedAt),
    pass.finishedAt === null ? 'under way' : humanTime(pass.finishedAt),
    String(pass.objects),
    humanSize(pass.bytes),
    String(pass.failed),
  ])
  await context.print.text(table(columns, rows))
  if (left !== null) await context.print.text(`left: ${count(left.objects, 'object')}, ${humanSize(left.bytes)}`)
  for (const pass of passes.slice(0, 1)) await tellFindings(context, pass)
}

async function runAction(context: CommandContext, _args: readonly string[], o: RunOptions): Promise<ExitStatus> {
  const { signal } = context
  const config = context.settings.load(['database', 's3', 'hsm'])
  const records = await openDatabase(context, config)
  const store = await openObjectStore(config, { access: 'read-only', context })
  context.defer(() => store.close())
  const hsm = await openPool(config, fleetLatch(context, records))
  context.defer(() => hsm.close())
  if (o.dryRun === true) {
    const left = await scrubBacklog(records, new Date())
    await context.print.document({ dryRun: true, ...left })
    await context.print.text(`${count(left.objects, 'object')}, ${humanSize(left.bytes)}, would be read and verified`)
    return EXIT.done
  }
  const actor = `cli:${context.io.user}`
  const detail = { mibPerSecond: o.rate ?? null }
  await appendAudit(records, { actor, action: 'scrub.run', subjectKind: 'store', subjectId: store.bucket, detail })
  const counter = createCounter(context.io, { noun: 'objects verified', quiet: context.print.json })
  try {
    const bytesPerSecond = o.rate === undefined ? undefined : o.rate * 2 ** 20
    const onObject = ({ objects }: { readonly objects: number }) => counter.update(objects)
    const pass = await scrub({ records, store, hsm, faultOf }, { bytesPerSecond, everyDays: 0, signal, onObject })
    counter.stop()
    await context.print.document({ dryRun: false, pass })
    if (pass === null) return EXIT.done
    await context.print.text(`${count(pass.objects, 'object')}, ${humanSize(pass.bytes)}, ${pass.failed} failed`)
    await tellFindings(context, pass)
    return pass.failed === 0 ? EXIT.done : EXIT.integrity
  } finally {
    counter.stop()
  }
}

async function tellFindings(context: CommandContext, { findings }: ScrubRow): Promise<void> {
  if (findings.length === 0) return
  const rows = findings.map(({ code, fileId, attemptId }) => [code, fileId, attemptId])
  await context.print.text(table([{ title: 'FAILED' }, { title: 'FILE' }, { title: 'ATTEMPT' }], rows))
}

function faultOf(error: unknown): string | undefined {
  const { code, failure } = classify(error)
  return failure.class === 'integrity' || failure.class === 'permanent-request' ? code : undefined
}
