import { keyLabel } from '@sealfleet/format'
import type { KeyAdmin, KeyListing } from '@sealfleet/hsm'
import { activateMasterKeyIn, getMasterKey, underLoginLock } from '@sealfleet/records/keys'
import { appendAudit } from '@sealfleet/records/audit'
import type { KeyRow, Queryable, Records } from '@sealfleet/records'
import { Option, type Command } from 'commander'
import { CliError } from '../../cli-error.js'
import type { CommandContext } from '../../context.js'
import { EXIT } from '../../exit-status.js'
import { wholeNumberOption } from '../../verb.js'
import { carryOut } from './carry-out.js'
import { waitForWorkers } from './confirmation.js'
import type { KeyStep } from '@sealfleet/keys'
import { keyStepReport, type KeyStepReport } from './report.js'
import type { RolePlan } from './role-plan.js'
import { assertSound, compareKeys } from './token-keys.js'

/**
 * New master keys in two phases: created and registered as PENDING, then activated when every running worker has
 * confirmed them on every token it uses. In between nothing is sealed with them, so an interrupted run can continue
 * later.
 */

type Activation = KeyStep & { readonly kind: 'activate' }

/** What phase one left of a plan for phase two. */
export interface PreparedKey {
  readonly reports: readonly KeyStepReport[]
  /** Nothing where the role has its active key already. */
  readonly next: { readonly step: Activation; readonly key: KeyRow } | undefined
}

export interface TwoPhaseOptions {
  /** registers keys in the token that another fleet, or a lost database, made */
  readonly adoptKeys?: boolean
  readonly wait: number | false
}

/** `--wait SECONDS` and `--no-wait`, for verbs that activate keys. */
export function waitOptions(command: Command): Command {
  return command
    .addOption(
      wholeNumberOption(
        '--wait <seconds>',
        'how long to wait for every worker to confirm the new keys',
        0,
        86_400,
      ).default(60),
    )
    .addOption(
      new Option(
        '--no-wait',
        'activate at once. Dangerous: a worker or a secondary token without the key cannot seal, and what is sealed ' +
          'while others cannot read it is lost with the one token that holds it',
      ),
    )
    .option(
      '--adopt-keys',
      'take over keys that are in the token and in no record: those of a fleet whose records are lost',
    )
}

/** Lets one run per domain create or activate keys. No PIN has this name: serials hold no spaces. */
export function underKeysLock<T>(
  { signal }: Pick<CommandContext, 'signal'>,
  records: Records,
  domain: string,
  run: (tx: Queryable) => Promise<T>,
): Promise<T> {
  return underLoginLock(records, { tokenSerial: 'keys init', pinId: domain }, (tx) => {
    // The command may have been stopped while it waited for the lock.
    signal.throwIfAborted()
    return run(tx)
  })
}

/** The report of a dry run: every step, none of them done. */
export function dryRunReport(plans: readonly RolePlan[]): readonly KeyStepReport[] {
  return plans.flatMap(({ steps, rows }) => steps.map((step) => keyStepReport(step, undefined, rows)))
}

/** Phase one. Makes and registers; a version that an earlier run left PENDING is compared with the token instead. */
export async function prepare(
  context: CommandContext,
  plans: readonly RolePlan[],
  o: { records: Records; admin: KeyAdmin; token: readonly KeyListing[]; actor: string },
): Promise<readonly PreparedKey[]> {
  const prepared: PreparedKey[] = []
  const pending: KeyRow[] = []
  for (const { steps, rows } of plans) {
    const reports: KeyStepReport[] = []
    let key: KeyRow | undefined
    let next: PreparedKey['next']
    for (const step of steps) {
      context.signal.throwIfAborted()
      const known = rows.find(({ version }) => version === step.ref.version)
      if (known !== undefined) (await compareKeys(o.admin, [known], o.token)).forEach(assertSound)
      if (step.kind === 'activate') {
        key = key?.version === step.ref.version ? key : known
        if (key === undefined) throw new TypeError('a key is made or registered before it is activated')
        next = { step, key }
        continue
      }
      key = await carryOut(step, o)
      reports.push(keyStepReport(step, key, rows))
      if (key?.state === 'PENDING') pending.push(key)
      if (pending.length > 0) context.ifStopped(staysPending(pending))
    }
    prepared.push({ reports, next })
  }
  return prepared
}

/** Between the phases. Resolves with the workers that confirmed; null: none was asked. Throws KEY_NOT_EVERYWHERE. */
export async function confirmed(
  context: CommandContext,
  records: Records,
  prepared: readonly PreparedKey[],
  { wait }: TwoPhaseOptions,
): Promise<readonly string[] | null> {
  const keys = prepared.flatMap(({ next }) => (next === undefined ? [] : [next.key]))
  if (keys.length === 0) return []
  context.ifStopped(staysPending(keys))
  if (wait !== false) return waitForWorkers(context, records, keys, wait)
  await context.print.note(
    'warning: not waiting. A worker or a secondary token without the key cannot seal with it, nor read what others seal',
  )
  return null
}

/** Phase two, in one transaction with its audit rows: all roles or none. Throws BAD_STATE when another run was faster. */
export async function activate(
  tx: Queryable,
  prepared: readonly PreparedKey[],
  o: { actor: string; reason?: string | undefined; confirmedBy: readonly string[] | null },
): Promise<readonly KeyStepReport[]> {
  const reports: KeyStepReport[] = []
  for (const { reports: before, next } of prepared) {
    reports.push(...before)
    if (next === undefined) continue
    const { step, key } = next
    const now = await getMasterKey(tx, step.ref)
    if (step.replaces !== null && now?.state !== 'PENDING') throw overtaken(step)
    const row = await activateMasterKeyIn(tx, { ref: step.ref, replaces: step.replaces })
    const detail = {
      label: row.label,
      checkValue: row.checkValue?.toString('hex') ?? null,
      confirmedBy: o.confirmedBy,
      ...(o.reason === undefined ? {} : { reason: o.reason }),
    }
    const subject = { subjectKind: 'key', subjectId: key.id }
    if (now?.state !== 'ACTIVE') await appendAudit(tx, { actor: o.actor, action: 'keys.activate', ...subject, detail })
    reports.push(keyStepReport(step, row, [row]))
  }
  return reports
}

/** The message of a run that is stopped between the phases. */
function staysPending(keys: readonly KeyRow[]): string {
  const labels = keys.map((key) => keyLabel(key)).join(' and ')
  return `${labels} ${keys.length === 1 ? 'stays' : 'stay'} PENDING: nothing is sealed under ${keys.length === 1 ? 'it' : 'them'} yet, and the same command continues from there`
}

function overtaken({ ref, replaces }: Activation): CliError {
  const message = `version ${replaces} of ${ref.role} is not active any more, or ${keyLabel(ref)} is not to be activated`
  return new CliError('BAD_STATE', message, {
    exitStatus: EXIT.failed,
    fix: 'another rotation was faster: see `sealfleet keys list`',
  })
}
