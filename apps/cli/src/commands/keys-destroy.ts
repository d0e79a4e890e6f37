import {
  assertNotNeeded,
  cancelScheduled,
  carryOutDestruction,
  copyDestruction,
  DestructionRefused,
  lookAtKey,
  requestDestruction,
  scheduleByRequest,
} from '@sealfleet/maintenance'
import { classify } from '@sealfleet/jobs'
import { listDestructions } from '@sealfleet/records'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { usageError } from '../cli-error.js'
import type { CommandContext, CommonOptions } from '../context.js'
import { EXIT, type ExitStatus } from '../exit-status.js'
import { findNamed, openRegister, openStoreFor, openTokens, type NamedKey } from '../keys/destroy/house.js'
import { needsText, reportRefusal } from '../keys/destroy/report.js'
import { createCounter } from '../output/counter.js'
import { commonOptions, perform, wholeNumber, type Runner } from '../verb.js'

interface DestroyOptions extends CommonOptions, NamedKey {
  readonly reason?: string
  readonly backups?: string
  readonly waitDays: number
  readonly shred?: boolean
  readonly confirm?: string
  readonly request?: string
  readonly cancel?: boolean
  readonly carryOut?: boolean
}

const DAY_S = 86_400
const LONGEST_TEXT = 2_000

const HELP = `
Destroying a version makes every file sealed under it unreadable for ever. It takes four steps, on purpose:

  1. keys destroy … --reason TEXT --backups TEXT   counts what needs the key, and makes a request
  2. requests show/sign/approve                    two officers sign it, each with a private key of their own
  3. keys destroy … --request ID                   uses the signatures; the waiting period begins
  4. maintenance, or keys destroy … --carry-out    destroys it in every token, proves it, signs a record

Until step 4 everything can still be read, and \`keys destroy … --cancel --reason TEXT\` takes it back.

--backups names the HSM's backups that hold the key and what becomes of them ("none" is an answer): a key that lives on in a
backup is not destroyed. --shred gives up the files that still need it; their number is typed (--confirm) and signed.`

export function destroyVerb(keys: Command, runner: Runner): void {
  const destroy = keys
    .command('destroy')
    .description(
      'schedule the destruction of a version of a master key, by two officers’ signatures; take it back; carry it out',
    )
    .option('--domain <id|name>', 'the key domain', 'default')
    .addOption(new Option('--role <role>', 'which key').choices(['enc', 'sig', 'kek']).makeOptionMandatory(true))
    .addOption(wholeNumber('--version <n>', 'which version', 1, 0xffff_ffff).makeOptionMandatory(true))
    .option('--reason <text>', 'why')
    .option('--backups <text>', 'backups of the HSM that hold the key, and what becomes of them')
    .addOption(new Option('--wait-days <n>', 'days between the signatures and the end').default(7).argParser(days))
    .option('--shred', 'although files need it: they are lost')
    .option('--confirm <text>', 'with --shred: what will be lost, typed')
    .option('--request <id>', 'schedule what this signed request says')
    .option('--cancel', 'take a scheduled destruction back')
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
    return await (o.request === undefined ? prepare(context, o) : schedule(context, o, o.request))
  } catch (error) {
    if (error instanceof DestructionRefused) return reportRefusal(context, error)
    throw error
  }
}

async function prepare(context: CommandContext, o: DestroyOptions): Promise<void> {
  const { records, config, actor } = await openRegister(context)
  const { domain, key } = await findNamed(records, o)
  const terms = {
    reason: wanted(o.reason, '--reason'),
    backups: wanted(
      o.backups,
      '--backups',
      'name the backups of the HSM that hold the key and what becomes of them; "none" is an answer',
    ),
    waitSeconds: Math.ceil(o.waitDays * DAY_S),
  }
  const least = config.maintenance.destroyMinWaitSeconds
  if (terms.waitSeconds < least)
    throw usageError(
      `--wait-days is ${terms.waitSeconds} seconds; here it is ${least} at least`,
      'wait longer (SEALFLEET_DESTROY_MIN_WAIT_SECONDS)',
    )
  const store = await openStoreFor(context, config, 'read-write')
  const needs = await counted(context, (onProgress) =>
    lookAtKey({ records, store }, key, { signal: context.signal, onProgress }),
  )
  const shred = o.shred === true ? needs.lost : null
  if (o.dryRun === true) {
    const refusal = refusalOf(() => assertNotNeeded(key, needs, shred))
    await context.print.document({
      dryRun: true,
      key: key.label,
      state: key.state,
      needs,
      shred,
      refusal: refusal?.code ?? null,
    })
    await context.print.text(needsText(needs))
    return context.print.text(
      refusal === undefined ? 'nothing stands in the way' : `${refusal.code}: ${refusal.message}`,
    )
  }
  assertNotNeeded(key, needs, shred)
  const text = `destroy ${needs.lost} files of ${domain.name}`
  if (shred !== null && o.confirm !== text) {
    await context.print.note(needsText(needs))
    throw usageError(`--shred loses ${needs.lost} files for ever, and wants that typed`, `--confirm "${text}"`)
  }
  const request = await requestDestruction({ records }, key, { terms: { ...terms, shred }, needs, actor })
  await context.print.document({
    dryRun: false,
    key: key.label,
    needs,
    shred,
    request: { id: request.id, expiresAt: request.expiresAt },
  })
  await context.print.text(`${needsText(needs)}
request ${request.id} is made; it is good until ${request.expiresAt.toISOString()}.
Each of two officers:  sealfleet requests show ${request.id} --body FILE, then requests sign, then requests approve
Then:                  sealfleet keys destroy --domain ${domain.name} --role ${key.role} --version ${key.version} --request ${request.id}`)
}

async function schedule(context: CommandContext, o: DestroyOptions, requestId: string): Promise<void> {
  const { records, config, actor } = await openRegister(context)
  const { key } = await findNamed(records, o)
  const store = await openStoreFor(context, config, 'read-write')
  if (o.dryRun === true) {
    const needs = await counted(context, (onProgress) =>
      lookAtKey({ records, store }, key, { signal: context.signal, onProgress }),
    )
    await context.print.document({ dryRun: true, key: key.label, state: key.state, needs, request: requestId })
    return context.print.text(`${needsText(needs)}\nwould use request ${requestId}`)
  }
  const row = await counted(context, (onProgress) =>
    scheduleByRequest({ records, store }, key, {
      requestId,
      minWaitSeconds: config.maintenance.destroyMinWaitSeconds,
      actor,
      signal: context.signal,
      onProgress,
    }),
  )
  const { id, executeAfter } = row
  await context.print.document({
    dryRun: false,
    key: key.label,
    state: 'DESTROY_SCHEDULED',
    destruction: { id, executeAfter },
  })
  await context.print.text(
    `${key.label} will be destroyed after ${executeAfter.toISOString()}; until then it can be taken back with --cancel`,
  )
}

async function cancel(context: CommandContext, o: DestroyOptions): Promise<void> {
  const reason = wanted(o.reason, '--reason')
  const { records, actor } = await openRegister(context)
  const { key } = await findNamed(records, o)
  if (o.dryRun === true) {
    const [open] = await listDestructions(records, { keyId: key.id, only: 'open' })
    await context.print.document({ dryRun: true, key: key.label, state: key.state, destruction: open?.id ?? null })
    return context.print.text(
      open === undefined ? `${key.label}: nothing to cancel` : `would take back the destruction of ${key.label}`,
    )
  }
  const tokens = () => openTokens(context, records)
  const { id } = await cancelScheduled({ records, tokens }, key, { actor, reason, signal: context.signal })
  await context.print.document({ dryRun: false, key: key.label, state: 'DECRYPT_ONLY', destruction: { id } })
  await context.print.text(`${key.label} stays: it is DECRYPT_ONLY again`)
}

async function carryOut(context: CommandContext, o: DestroyOptions): Promise<ExitStatus | void> {
  const { records, config, actor } = await openRegister(context)
  const { key } = await findNamed(records, o)
  const [open] = await listDestructions(records, { keyId: key.id, only: 'open' })
  if (open === undefined)
    throw new DestructionRefused('BAD_STATE', `no destruction of ${key.label} is scheduled (it is ${key.state})`, {
      fix: 'see `sealfleet keys destructions`',
    })
  if (!open.due)
    throw new DestructionRefused('BAD_STATE', `${key.label} waits until ${open.executeAfter.toISOString()}`, {
      fix: 'wait; or take it back with --cancel',
    })
  if (o.dryRun === true) {
    await context.print.document({
      dryRun: true,
      key: key.label,
      destruction: { id: open.id, executeAfter: open.executeAfter },
    })
    return context.print.text(`would destroy ${key.label} now`)
  }
  const store = await openStoreFor(context, config, 'read-write')
  const tokens = await openTokens(context, records)
  const codeOf = (error: unknown) => classify(error).code
  const result = await counted(context, (onProgress) =>
    carryOutDestruction({ records, store, tokens }, open.id, { actor, codeOf, signal: context.signal, onProgress }),
  )
  if (result.outcome === 'refused') throw result.error
  if (result.outcome === 'left') {
    await context.print.document({ dryRun: false, key: key.label, outcome: result.why })
    await context.print.text(
      `${key.label}: another process is at it, or it has ended: see \`sealfleet keys destructions\``,
    )
    return EXIT.failed
  }
  const { id, carriedOutAt, storeKey } = result.destruction
  await context.print.document({
    dryRun: false,
    key: key.label,
    state: 'DESTROYED',
    destruction: { id, carriedOutAt, storeKey },
  })
  await context.print.text(`${key.label} is destroyed; no token holds it any more, and the record is signed`)
  // After the fact is told: a copy that fails is tried again by maintenance.
  await copyDestruction({ records, store }, result.destruction, context.signal)
}

async function counted<T>(
  context: CommandContext,
  run: (onProgress: (looked: number) => void) => Promise<T>,
): Promise<T> {
  const counter = createCounter(context.io, { noun: 'headers read', quiet: context.print.json })
  try {
    return await run((looked) => counter.update(looked))
  } finally {
    counter.stop()
  }
}

function refusalOf(check: () => void): DestructionRefused | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (error instanceof DestructionRefused) return error
    throw error
  }
}

function wanted(text: string | undefined, option: string, fix = 'say why, for those who ask later'): string {
  const trimmed = text?.trim() ?? ''
  if (trimmed === '') throw usageError(`${option} is missing`, fix)
  if (trimmed.length > LONGEST_TEXT) throw usageError(`${option} has more than ${LONGEST_TEXT} characters`)
  return trimmed
}

function days(text: string): number {
  const value = Number(text)
  if (!/^\d{1,5}(\.\d{1,9})?$/.test(text) || value > 3_650)
    throw new InvalidArgumentError('It wants a number of days from 0 to 3650, with nine decimals at most.')
  return value
}
