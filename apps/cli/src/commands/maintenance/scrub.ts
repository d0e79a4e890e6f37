import { classify } from '@sealfleet/failures'
import { scrub } from '@sealfleet/maintenance'
import { appendAudit } from '@sealfleet/records/audit'
import { scrubBacklog, type ScrubRow } from '@sealfleet/records/upkeep'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { createCounter } from '../../output/counter.js'
import { table } from '../../output/table.js'
import { count, humanSize } from '../../output/units.js'
import { fleetLockout, openPool } from '../../services/hsm.js'
import { openDatabase } from '../../services/records.js'
import { openObjectStore } from '../../services/store.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface RunOptions extends CommonOptions {
  readonly rate?: number
}

export function scrubVerb(tasks: Command, runner: Runner): void {
  const run = tasks
    .command('scrub')
    .description('verify every stored object in turn: continues the current pass, or starts one now')
    .addOption(wholeNumberOption('--rate <mib>', 'MiB per second (default: unlimited)', 1, 100_000))
    .addHelpText(
      'after',
      `
Objects that were verified longest ago, or never, come first. It can be interrupted and continues the next time. Uses only signing
master keys (and, for detached nonces, KEKs). Maintenance does the same by itself when SEALFLEET_SCRUB_MIB_PER_SECOND is set, a pass
each SEALFLEET_SCRUB_EVERY_DAYS. Exit status 3: an object did not verify (docs/operate/runbook.md, by its code).`,
    )
  perform<RunOptions>(commonOptions(run, { changes: true }), runner, runAction)
}

async function runAction(context: CommandContext, _args: readonly string[], o: RunOptions): Promise<ExitStatus> {
  const { signal } = context
  const config = context.settings.load(['database', 's3', 'hsm'])
  const records = await openDatabase(context, config)
  const store = await openObjectStore(config, { access: 'read-only', context })
  context.defer(() => store.close())
  const hsm = await openPool(config, fleetLockout(context, records))
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

/** The findings of a pass, if it has any. */
export async function tellFindings(context: CommandContext, { findings }: ScrubRow): Promise<void> {
  if (findings.length === 0) return
  const rows = findings.map(({ code, fileId, attemptId }) => [code, fileId, attemptId])
  await context.print.text(table([{ title: 'FAILED' }, { title: 'FILE' }, { title: 'ATTEMPT' }], rows))
}

function faultOf(error: unknown): string | undefined {
  const { code, failure } = classify(error)
  return failure.class === 'integrity' || failure.class === 'permanent-request' ? code : undefined
}
