import {
  cancelScheduled,
  carryOutDestruction,
  copyDestruction,
  DestructionRefused,
  rehearseDestruction,
  scheduleByRequest,
} from '@sealfleet/keys'
import { classify } from '@sealfleet/failures'
import { listDestructions } from '@sealfleet/records/keys'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { usageError } from '../../../cli-error.js'
import type { CommandContext } from '../../../context.js'
import { describeError, type ErrorReport } from '../../../describe-error.js'
import { EXIT, type ExitStatus } from '../../../exit-status.js'
import { askForDestruction, type AskOptions } from './ask.js'
import { counted } from './counted.js'
import { findNamed, openRegister, openStoreFor, openAllTokens } from './open-dependencies.js'
import { reportRefusal } from './report.js'
import { signedOptions } from '../../operators/find-or-create-request.js'
import { requireReason } from '../../../input/reason.js'
import { dryRunIf } from '../../../services/dry-run.js'
import { commonOptions, errorText, perform, wholeNumberOption, type Runner } from '../../../verb.js'

interface DestroyOptions extends AskOptions {
  readonly cancel?: boolean
  readonly carryOut?: boolean
}

const HELP = `
Destroying a version makes every file sealed under it unreadable forever. It takes four steps, on purpose:

  1. keys destroy … --reason TEXT --backups TEXT   counts what needs the key, and makes a request, or
                                                   finds the open one that says the same
  2. requests show/sign/approve                    two officers sign it, each with a private key of their own
  3. keys destroy … --request ID                   uses the signatures; the waiting period begins
  4. maintenance, or keys destroy … --carry-out    destroys it in every token, proves it, signs a record

Until step 4 everything can still be read, and \`keys destroy … --cancel --reason TEXT\` cancels the destruction.

--backups names the HSM's backups that hold the key and what becomes of them ("none" is an answer): a key that lives on in a
backup is not destroyed. --shred gives up the files that still need it; their number is typed (at the terminal, or --confirm) and signed.`

export function destroyVerb(keys: Command, runner: Runner): void {
  const destroy = signedOptions(keys.command('destroy'))
    .description(
      'schedule, cancel or carry out the destruction of a master key’s version; needs two officers’ signatures',
    )
    .option('--domain <id|name>', 'the key domain', 'default')
    .addOption(new Option('--role <role>', 'which key').choices(['enc', 'sig', 'kek']).makeOptionMandatory(true))
    .addOption(wholeNumberOption('--version <n>', 'which version', 1, 0xffff_ffff).makeOptionMandatory(true))
    .option('--reason <text>', 'why')
    .option('--backups <text>', 'backups of the HSM that hold the key, and what becomes of them')
    .addOption(
      new Option('--wait-days <n>', 'days between the signatures and the destruction').default(7).argParser(days),
    )
    .option('--shred', 'destroy it although files need it; they are lost')
    .option('--confirm <text>', 'with --shred: the confirmation, instead of typing it')
    .option('--cancel', 'cancel a scheduled destruction')
    .option('--carry-out', 'carry a due destruction out now, without waiting for maintenance')
    .addHelpText('after', HELP)
  perform<DestroyOptions>(commonOptions(destroy, { changes: true }), runner, destroyAction)
}

async function destroyAction(
  context: CommandContext,
  _args: readonly string[],
  o: DestroyOptions,
): Promise<ExitStatus | void> {
  const modes = [o.request !== undefined, o.cancel === true, o.carryOut === true].filter(Boolean).length
  if (modes > 1) throw usageError('--request, --cancel and --carry-out are three different steps')
  try {
    if (o.cancel === true) return await cancel(context, o)
    if (o.carryOut === true) return await carryOut(context, o)
    return await (o.request === undefined ? askForDestruction(context, o) : schedule(context, o, o.request))
  } catch (error) {
    if (error instanceof DestructionRefused) return reportRefusal(context, error)
    throw error
  }
}

async function schedule(context: CommandContext, o: DestroyOptions, requestId: string): Promise<void> {
  context.ifStopped(`nothing was changed, and request ${requestId} is as it was: run the same command again`)
  const { records, config, actor } = await openRegister(context)
  const { key } = await findNamed(records, o)
  const store = await openStoreFor(context, config, 'read-write')
  const row = await counted(context, (onProgress) =>
    scheduleByRequest({ records: dryRunIf(o.dryRun, records), store }, key, {
      requestId,
      minWaitSeconds: config.maintenance.destroyMinWaitSeconds,
      actor,
      signal: context.signal,
      onProgress,
    }),
  )
  const { id, executeAfter } = row
  if (o.dryRun === true) {
    await context.print.document({ dryRun: true, key: key.label, state: key.state, request: requestId, executeAfter })
    return context.print.text(`request ${requestId} would be used, and ${key.label} be scheduled for destruction`)
  }
  await context.print.document({
    dryRun: false,
    key: key.label,
    state: 'DESTROY_SCHEDULED',
    destruction: { id, executeAfter },
  })
  await context.print.text(
    `${key.label} will be destroyed after ${executeAfter.toISOString()}; until then --cancel cancels it`,
  )
}

async function cancel(context: CommandContext, o: DestroyOptions): Promise<void> {
  context.ifStopped('nothing was changed, and the destruction is still scheduled: run the same command again')
  const reason = requireReason(o.reason)
  const { records, actor } = await openRegister(context)
  const { key } = await findNamed(records, o)
  const tokens = () => openAllTokens(context, records)
  const { id } = await cancelScheduled({ records: dryRunIf(o.dryRun, records), tokens }, key, {
    actor,
    reason,
    signal: context.signal,
  })
  if (o.dryRun === true) {
    await context.print.document({ dryRun: true, key: key.label, state: key.state, destruction: { id } })
    return context.print.text(`would cancel the destruction of ${key.label}`)
  }
  await context.print.document({ dryRun: false, key: key.label, state: 'DECRYPT_ONLY', destruction: { id } })
  await context.print.text(`${key.label} stays: it is DECRYPT_ONLY again`)
}

async function carryOut(context: CommandContext, o: DestroyOptions): Promise<ExitStatus | void> {
  const { records, config, actor } = await openRegister(context)
  const { key } = await findNamed(records, o)
  const goesOn = 'maintenance or the same command carries it out; see `sealfleet keys destructions`'
  context.ifStopped(`${key.label} is as it was, and its destruction still scheduled: ${goesOn}`)
  const [open] = await listDestructions(records, { keyId: key.id, only: 'open' })
  if (open === undefined)
    throw new DestructionRefused('BAD_STATE', `no destruction of ${key.label} is scheduled (it is ${key.state})`, {
      fix: 'see `sealfleet keys destructions`',
    })
  if (!open.due)
    throw new DestructionRefused('BAD_STATE', `${key.label} waits until ${open.executeAfter.toISOString()}`, {
      fix: 'wait, or cancel it with --cancel',
    })
  const store = await openStoreFor(context, config, 'read-write')
  const tokens = await openAllTokens(context, records)
  if (o.dryRun === true) {
    const outcome = await counted(context, (onProgress) =>
      rehearseDestruction({ records, store, tokens }, open.id, { signal: context.signal, onProgress }),
    )
    const destruction = { id: open.id, executeAfter: open.executeAfter }
    await context.print.document({ dryRun: true, key: key.label, outcome, destruction })
    if (outcome === 'ready') return context.print.text(`would destroy ${key.label} now`)
    await context.print.text(leftText(key.label))
    return EXIT.failed
  }
  const codeOf = (error: unknown) => classify(error).code
  const result = await counted(context, (onProgress) =>
    carryOutDestruction({ records, store, tokens }, open.id, {
      actor,
      codeOf,
      signal: context.signal,
      onProgress,
      onStep: () => context.ifStopped(`the destruction of ${key.label} has begun and cannot be cancelled: ${goesOn}`),
    }),
  )
  if (result.outcome === 'refused') throw result.error
  if (result.outcome === 'left') {
    await context.print.document({ dryRun: false, key: key.label, outcome: result.why })
    await context.print.text(leftText(key.label))
    return EXIT.failed
  }
  // Reported first, since the next step may take long.
  await context.print.text(`${key.label} is destroyed; no token holds it any more, and the record is signed`)
  const failure = await failureOf(context, () =>
    copyDestruction({ records, store }, result.destruction, context.signal),
  )
  const { id, carriedOutAt, storeKey } = result.destruction
  await context.print.document({
    dryRun: false,
    key: key.label,
    state: 'DESTROYED',
    destruction: { id, carriedOutAt, storeKey },
    copied: failure === undefined,
    ...(failure && { error: { code: failure.code, message: failure.message, fix: NOT_COPIED } }),
  })
  if (failure === undefined) return
  await context.print.note(errorText({ ...failure, fix: NOT_COPIED }).trimEnd())
  return failure.exitStatus
}

const NOT_COPIED = 'nothing to do: the copy of the record is not in the store yet, and maintenance puts it there'

/** The error of `run`, for a document that also says what was done before; undefined: it succeeded. */
async function failureOf({ signal }: CommandContext, run: () => Promise<void>): Promise<ErrorReport | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    return describeError(signal.aborted ? signal.reason : error)
  }
}

function leftText(label: string): string {
  return `${label}: another process is carrying it out, or it has ended: see \`sealfleet keys destructions\``
}

function days(text: string): number {
  const value = Number(text)
  if (!/^\d{1,5}(\.\d{1,30})?$/.test(text) || value > 3_650)
    throw new InvalidArgumentError('It must be a number of days from 0 to 3650, written as digits: 7 or 0.5.')
  return value
}
