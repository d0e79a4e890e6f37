import { appendAudit } from '@sealfleet/records/audit'
import { clearPinLockout, getPinLockout, listPinLockouts, type PinLockoutRow } from '@sealfleet/records/keys'
import type { Command } from 'commander'
import { missingError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { table } from '../../output/table.js'
import { humanTime } from '../../output/units.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { printable } from '../../output/printable.js'

interface ResetOptions extends CommonOptions {
  readonly reason?: string
}

export function doctorPinVerbs(doctor: Command, runner: Runner): void {
  const pin = doctor
    .command('pin')
    .description('list PIN lockouts of the fleet, and reset one (a PIN itself is never stored)')

  const list = pin.command('list').description('list PINs by name: proven by a login, or rejected and not tried again')
  perform<CommonOptions>(commonOptions(list, { changes: false }), runner, listAction)

  const reset = pin
    .command('reset')
    .description('let workers log in again with a PIN that was rejected; check the PIN first')
    .argument('<serial>', 'the token’s serial number, see `doctor pin list`')
    .argument('[pin-id]', 'the PIN’s name (SEALFLEET_PKCS11_PIN_ID)', 'default')
    .requiredOption('--reason <text>', 'what was done about the PIN, for the audit log')
    .addHelpText(
      'after',
      `
Most tokens lock after a few wrong PINs. The next worker tries the PIN once, alone, and the fleet follows if it is right.`,
    )
  perform<ResetOptions>(commonOptions(reset, { changes: true }), runner, resetAction)
}

async function listAction(context: CommandContext): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const lockouts = await listPinLockouts(records)
  await context.print.document({ lockouts })
  const columns = ['SERIAL', 'PIN', 'STATE', 'ANSWER', 'SET BY', 'SINCE'].map((title) => ({ title }))
  const rows = lockouts.map((one) => [
    one.tokenSerial,
    one.pinId,
    one.state,
    answer(one),
    one.setBy,
    humanTime(one.setAt),
  ])
  const paint = (padded: string, cell: string): string =>
    cell === 'rejected' ? context.print.paint('bad', padded) : padded
  await context.print.text(rows.length === 0 ? 'no worker has tried a PIN yet' : table(columns, rows, paint))
}

function answer({ ckr }: PinLockoutRow): string {
  return ckr === null ? '-' : `0x${ckr.toString(16)}`
}

async function resetAction(
  context: CommandContext,
  [tokenSerial = '', pinId = 'default']: readonly string[],
  o: ResetOptions,
): Promise<void> {
  const reason = requireReason(o.reason, { fix: 'say in a sentence what was done about the PIN' })
  const records = await openDatabase(context, context.settings.load(['database']))
  const name = { tokenSerial, pinId }
  const known = await getPinLockout(records, name)
  if (known === undefined) {
    throw missingError(
      'NOT_FOUND',
      `no PIN "${printable(pinId)}" of a token ${printable(tokenSerial)} is known`,
      'see `sealfleet doctor pin list`',
    )
  }
  const reset = await records.transaction(async (tx) => {
    const lockout = (await getPinLockout(tx, name)) ?? known
    if (lockout.state !== 'rejected') return false
    if (o.dryRun === true) return true
    if (!(await clearPinLockout(tx, name))) return false
    const subject = { subjectKind: 'hsm-pin', subjectId: `${tokenSerial}/${pinId}` }
    const detail = { reason, rejectedFor: lockout.setBy, rejectedAt: lockout.setAt }
    await appendAudit(tx, { actor: `cli:${context.io.user}`, action: 'hsm.unlatch', ...subject, detail })
    return true
  })
  await context.print.document({ tokenSerial, pinId, reset, dryRun: o.dryRun === true })
  if (!reset)
    return await context.print.text(`the PIN "${printable(pinId)}" of ${printable(tokenSerial)} is not locked out`)
  await context.print.text(
    `the PIN "${printable(pinId)}" of ${printable(tokenSerial)} ${o.dryRun === true ? 'would be tried' : 'is tried'} again by the next login`,
  )
}
