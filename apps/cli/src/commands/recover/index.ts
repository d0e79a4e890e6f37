import { appendAudit } from '@sealfleet/records/audit'
import { hasFilesNotRecovered } from '@sealfleet/records/statements'
import type { Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'
import type { Command } from 'commander'
import { CliError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { readContext } from '../../files/context.js'
import { createCounter } from '../../output/counter.js'
import { createProgress } from '../../output/progress.js'
import { readDestructions } from './destructions.js'
import type { FilePorts } from './file.js'
import { recoverKeys } from './keys.js'
import { knownKeys, withTokenKeys } from './known-keys.js'
import { printRecovery, reportJson, type KeyOutcome } from './print.js'
import { recoverFiles } from './run.js'
import { survey, type Survey } from './survey.js'
import { emptyRecovery, RECOVERED_BY, RECOVERED_ROOT, type RecoveryReport } from './terms.js'
import { openAdmin, openPool } from '../../services/hsm.js'
import { openDatabase } from '../../services/records.js'
import { openObjectStore } from '../../services/store.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface RecoverOptions extends CommonOptions {
  readonly bucket?: string
  readonly prefix: string
  readonly quick?: boolean
  readonly merge?: boolean
  readonly context?: readonly string[]
  readonly contextHex?: readonly string[]
}

export function recoverVerb(program: Command, runner: Runner): void {
  const verb = program
    .command('recover')
    .description('rebuild the records of a lost database from the objects in a bucket and the keys in the HSM')
    .option('--bucket <name>', 'the bucket to read (default: SEALFLEET_S3_BUCKET)')
    .option('--prefix <prefix>', 'only objects whose keys begin with this', '')
    .option('--quick', 'check header, trailer and key commitment of each object, not every byte; the report says so')
    .option('--merge', 'recover into a database that holds other files; they stay exactly as they are')
    .option('--context <text...>', 'contexts to try where an object’s metadata lost its own')
    .option('--context-hex <hex...>', 'the same, in hexadecimal')
    .addHelpText(
      'after',
      `
Needs Postgres (migrated; empty, or filled by an earlier run of this), S3 and the HSM; no Redis. Stop the workers first. Nothing
in the bucket is ever changed. Each file is written in one transaction, after every byte of its object was found authentic; of
several attempts the highest number wins. It can be interrupted at any time and continues when it is run again.

A file has the root and path that its object's metadata names (SEALFLEET_S3_PATH_METADATA=plain when it was sealed), which nothing
authenticates; else it is below the root "${RECOVERED_ROOT}" and its path is its id. What cannot be recovered: batches, holds,
history, operators, and files with detached nonces, which the lost records alone could open. A producer that enqueues the id of
a recovered file again receives REQUEST_CONFLICT. Exit status 1: a sealed object could not be placed (docs/operate/recover-the-database.md).`,
    )
  perform<RecoverOptions>(commonOptions(verb, { changes: true }), runner, recoverAction)
}

async function recoverAction(
  context: CommandContext,
  _args: readonly string[],
  o: RecoverOptions,
): Promise<ExitStatus> {
  const overrides = o.bucket === undefined ? {} : { SEALFLEET_S3_BUCKET: o.bucket }
  const config = context.settings.load(['database', 's3', 'hsm'], overrides)
  const contexts = await contextsOf(o, context.io.cwd)
  const records = await openDatabase(context, config)
  await assertMayFill(records, o)
  const store = await openObjectStore(config, { access: 'read-only', context })
  context.defer(() => store.close())

  const surveyed = await look(context, store, o)
  const pool = await openPool(config)
  context.defer(() => pool.close())
  const signed = await readDestructions({ store, pool }, context.signal)
  const keys = await keysOf(context, records, config, { surveyed: surveyed.domains, ...signed }, o)
  const registered = await knownKeys(records, pool)
  const known =
    o.dryRun === true
      ? withTokenKeys(registered, keys.labels, new Set(keys.destroyed.map(({ label }) => label)))
      : registered
  const ports: FilePorts = { records, store, keys: pool, known, keyState: (key) => known.state(key) }
  const report = emptyRecovery()
  let complete = false
  try {
    await goThrough(context, ports, o, { surveyed, contexts, bucket: store.bucket }, report)
    complete = true
  } finally {
    // Written records stay, so a stopped run is audited, too.
    try {
      await printRecovery(context, report, keys, { quick: o.quick === true, dryRun: o.dryRun === true, complete })
    } finally {
      if (o.dryRun !== true) await audit(context, records, store.bucket, o, report, complete)
    }
  }
  const untrusted = keys.refused.length + keys.unproven.length
  return report.unplacedTotal + untrusted === 0 ? EXIT.done : EXIT.failed
}

async function contextsOf(o: RecoverOptions, cwd: string): Promise<readonly Buffer[]> {
  const given = [
    ...(o.context ?? []).map((text) => readContext({ context: text }, cwd)),
    ...(o.contextHex ?? []).map((text) => readContext({ contextHex: text }, cwd)),
  ]
  if (given.length > 1_000) throw usageError(`${given.length} contexts are too many to try on each object`)
  return (await Promise.all(given)).filter((one) => one !== undefined)
}

async function assertMayFill(records: Records, o: RecoverOptions): Promise<void> {
  if (o.merge === true || !(await hasFilesNotRecovered(records, { root: RECOVERED_ROOT, owner: RECOVERED_BY }))) return
  throw new CliError('BAD_STATE', 'the database holds files that were not recovered', {
    exitStatus: EXIT.failed,
    fix: 'recover into an empty database, or add --merge: files that have a record then stay as they are',
  })
}

async function look(context: CommandContext, store: Store, o: RecoverOptions): Promise<Survey> {
  const counter = createCounter(context.io, { noun: 'headers read', quiet: context.print.json })
  try {
    return await survey(store, {
      prefix: o.prefix,
      signal: context.signal,
      onProgress: (looked) => counter.update(looked),
    })
  } finally {
    counter.stop()
  }
}

async function keysOf(
  context: CommandContext,
  records: Records,
  config: Parameters<typeof openAdmin>[0],
  known: Parameters<typeof recoverKeys>[1] & Pick<KeyOutcome, 'destroyed' | 'unproven'>,
  o: RecoverOptions,
): Promise<KeyOutcome> {
  const admin = await openAdmin(config)
  try {
    const actor = `cli:${context.io.user}`
    const options = { actor, dryRun: o.dryRun === true, signal: context.signal }
    const outcome = await recoverKeys({ records, admin }, known, options)
    const refused = new Set(outcome.refused.map(({ label }) => label))
    const token = await admin.list()
    return {
      ...known,
      ...outcome,
      labels: new Set(token.map(({ label }) => label).filter((label) => !refused.has(label))),
    }
  } finally {
    await admin.close()
  }
}

async function goThrough(
  context: CommandContext,
  ports: FilePorts,
  o: RecoverOptions,
  { surveyed, contexts, bucket }: { surveyed: Survey; contexts: readonly Buffer[]; bucket: string },
  report: RecoveryReport,
): Promise<void> {
  const { groups, bytes: totalBytes } = surveyed
  const bar = { noun: 'files', items: groups, totalBytes, quiet: context.print.json }
  const progress = createProgress(context.io, bar)
  try {
    await recoverFiles(
      ports,
      {
        ...{ bucket, contexts, prefix: o.prefix, quick: o.quick === true, dryRun: o.dryRun === true },
        actor: `cli:${context.io.user}`,
        signal: context.signal,
        onProgress: ({ entry, info }, done) => progress.update(info.fileId, done, entry.length ?? 0),
        onEnd: async (outcome, bytes) => {
          const name = outcome.fileId ?? 'something else'
          progress.finish(name, bytes, `${outcome.outcome}  ${name}`)
          const { refused } = outcome.claim ?? {}
          if (refused !== undefined) progress.note(`${name}: the source in its metadata is not believed: ${refused}`)
          if (outcome.outcome !== 'foreign') await context.print.line(reportJson(outcome))
        },
      },
      report,
    )
  } finally {
    progress.stop()
  }
}

async function audit(
  context: CommandContext,
  records: Records,
  bucket: string,
  o: RecoverOptions,
  report: RecoveryReport,
  complete: boolean,
): Promise<void> {
  const { domains: _domains, unplaced: _unplaced, ...counts } = report
  await appendAudit(records, {
    actor: `cli:${context.io.user}`,
    action: 'recover',
    subjectKind: 'bucket',
    subjectId: bucket,
    detail: { ...counts, prefix: o.prefix, quick: o.quick === true, merge: o.merge === true, complete },
  })
}
