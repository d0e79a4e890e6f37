import {
  assertNotNeeded,
  DESTROY_KIND,
  DestructionRefused,
  lookAtKey,
  requestDetail,
  type KeyNeeds,
} from '@sealfleet/keys'
import { usageError } from '../../../cli-error.js'
import type { CommandContext } from '../../../context.js'
import type { ExitStatus } from '../../../exit-status.js'
import {
  findOrCreateRequest,
  quoted,
  requestReport,
  printSigningSteps,
  type SignedOptions,
} from '../../operators/find-or-create-request.js'
import { canAsk, confirm } from '../../../input/confirm.js'
import { requireReason } from '../../../input/reason.js'
import { counted } from './counted.js'
import { findNamed, openRegister, openStoreFor, type NamedKey } from './open-dependencies.js'
import { needsText, reportRefusal } from './report.js'

export interface AskOptions extends SignedOptions, NamedKey {
  readonly reason?: string
  readonly backups?: string
  readonly waitDays: number
  readonly shred?: boolean
  readonly confirm?: string
}

const DAY_S = 86_400

/**
 * The first step: counts what needs the key, and makes the request that officers sign, or finds an identical open one.
 * @throws DestructionRefused, USAGE, CANCELLED, the signal's reason; then there is no new request
 */
export async function askForDestruction(context: CommandContext, o: AskOptions): Promise<ExitStatus | void> {
  context.ifStopped('nothing was changed, and no request made: run the same command again')
  const { records, config } = await openRegister(context)
  const { domain, key } = await findNamed(records, o)
  const terms = termsOf(o, config.maintenance.destroyMinWaitSeconds)
  const store = await openStoreFor(context, config, 'read-write')
  const needs = await counted(context, (onProgress) =>
    lookAtKey({ records, store }, key, { signal: context.signal, onProgress }),
  )
  const shred = o.shred === true ? needs.lost : null
  const dryRun = o.dryRun === true
  const refused = refusalOf(() => assertNotNeeded(key, needs, shred))
  const about = { dryRun, key: key.label, state: key.state, shred, refusal: refused?.code ?? null }
  if (refused !== undefined) {
    if (!dryRun) throw refused
    return reportRefusal(context, refused, about)
  }
  if (shred !== null && !dryRun)
    await assertTyped(context, needs, { word: `destroy ${shred} files of ${domain.name}`, typed: o.confirm })
  context.signal.throwIfAborted()
  const subject = { kind: 'key', id: key.id }
  const wanted = { kind: DESTROY_KIND, subject, detail: requestDetail(key, domain, { ...terms, shred }) } as const
  const request = await findOrCreateRequest(context, records, wanted, o)
  await context.print.document({ ...about, needs, request: request ? requestReport(request) : null })
  await context.print.text(dryRun ? `${needsText(needs)}\nnothing stands in the way` : needsText(needs))
  const named = `--domain ${quoted(domain.name)} --role ${key.role} --version ${key.version}`
  await printSigningSteps(context, request, wanted, `sealfleet keys destroy ${named}`)
}

function termsOf(o: AskOptions, least: number) {
  const terms = {
    reason: requireReason(o.reason),
    backups: requireReason(o.backups, {
      option: '--backups',
      fix: 'name the backups of the HSM that hold the key and what becomes of them; "none" is an answer',
    }),
    waitSeconds: Math.ceil(o.waitDays * DAY_S),
  }
  if (terms.waitSeconds >= least) return terms
  const inDays = Math.ceil((least / DAY_S) * 10_000) / 10_000
  throw usageError(
    `--wait-days ${o.waitDays} is ${terms.waitSeconds} s; the minimum here is ${least} s`,
    `--wait-days ${inDays} or more (SEALFLEET_DESTROY_MIN_WAIT_SECONDS)`,
  )
}

/**
 * Requires the confirmation of --shred, by --confirm or typed at the terminal. @throws USAGE, CANCELLED, the signal's
 * reason
 */
async function assertTyped(
  context: CommandContext,
  needs: KeyNeeds,
  { word, typed }: { readonly word: string; readonly typed: string | undefined },
): Promise<void> {
  if (typed === word) return
  await context.print.note(needsText(needs))
  if (typed === undefined && canAsk(context)) return confirm(context, word)
  throw usageError(`--shred loses ${needs.lost} files forever and must be confirmed`, `--confirm "${word}"`)
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
